-- The schedules that are due at ?1, ?2 at most, the oldest tick first, but those of kind custom that are not in ?3 and those in ?4.
select name, owner, kind, expression, timezone, anchor_at, message_type, content_type, queue_name, stamps, body, missed, missed_window, overlap, jitter,
  from_at, until_at, excluded, max_runs, enabled, next_run_at, last_tick_at, last_run_at, run_count, missed_count, skipped_count, last_messages, last_error,
  declared, edited_at, dropped_at, created_at, updated_at
from messenger_schedules
where enabled = 1 and next_run_at <= ?1 and (kind <> 'custom' or name in (select value from json_each(?3)))
  and name not in (select value from json_each(?4))
order by next_run_at limit ?2
