-- The schedules with the names $1.
select null::timestamptz, null::timestamptz,
  s.name, s.owner, s.kind, s.expression, s.timezone, s.anchor_at, s.message_type, s.content_type, s.queue_name, s.stamps::text, s.body, s.missed,
  (extract(epoch from s.missed_window) * 1000)::bigint, s.overlap, (extract(epoch from s.jitter) * 1000)::bigint, s.from_at, s.until_at, s.excluded::text, s.max_runs,
  s.enabled, s.next_run_at, s.last_tick_at, s.last_run_at, s.run_count, s.missed_count, s.skipped_count, array_to_string(s.last_messages, ','), s.last_error, s.declared,
  s.edited_at, s.dropped_at, s.created_at, s.updated_at,
  null::text
from symphony.messenger_schedules s
where s.name = any ($1::text[]) order by s.name
