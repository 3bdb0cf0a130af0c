select schedule_name, tick_at, outcome, recorded_at, until_at, runs, backfill, message_ids from messenger_ticks
where schedule_name = ?1 and (?2 is null or outcome = ?2) and tick_at >= coalesce(?3, tick_at) and tick_at < coalesce(?4, tick_at + 1)
order by tick_at desc, outcome limit ?5
