-- Lists schedules: of the owner ?1, of the message type ?2, with the tag ?3, after the name ?4, ?5 at most; with those that were dropped if ?6.
select name, owner, kind, expression, timezone, anchor_at, message_type, content_type, queue_name, stamps, body, missed, missed_window, overlap, jitter,
  from_at, until_at, excluded, max_runs, enabled, next_run_at, last_tick_at, last_run_at, run_count, missed_count, skipped_count, last_messages, last_error,
  declared, edited_at, dropped_at, created_at, updated_at
from messenger_schedules
where (?1 is null or owner = ?1) and (?2 is null or message_type = ?2)
  and (?3 is null or exists (select 1 from json_each(stamps, '$.tags') where value = ?3))
  and name > ?4 and (?6 or dropped_at is null)
order by name limit ?5
