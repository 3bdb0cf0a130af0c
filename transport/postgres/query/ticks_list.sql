-- Lists the ticks of the schedule $1 with the outcome $2 (null: all), from $3 on and before $4, the latest first, $5 at most.
select t.schedule_name, t.tick_at, t.outcome, t.recorded_at, t.until_at, t.runs, t.backfill, array_to_string(t.message_ids, ',')
from symphony.messenger_ticks t
where t.schedule_name = $1::text and ($2::text is null or t.outcome = $2)
  and t.tick_at >= coalesce($3::timestamptz, '-infinity') and t.tick_at < coalesce($4::timestamptz, 'infinity')
order by t.tick_at desc, t.outcome limit $5::bigint
