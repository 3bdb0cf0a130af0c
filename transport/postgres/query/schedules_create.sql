-- Adds the schedules $1, a JSON array. Those whose names are taken are not added.
insert into symphony.messenger_schedules (name, created_at, owner, kind, expression, timezone, anchor_at, message_type, content_type, queue_name, stamps, body, missed, missed_window, overlap, jitter, from_at,
  until_at, excluded, max_runs, enabled, next_run_at, last_tick_at, last_run_at, run_count, missed_count, skipped_count, last_messages, last_error, declared,
  edited_at, dropped_at, updated_at)
select r.name, r.created_at, r.owner, r.kind, r.expression, r.timezone, r.anchor_at, r.message_type, r.content_type, r.queue_name, r.stamps, decode(r.body, 'base64'), r.missed,
  r.missed_window * interval '1 millisecond', r.overlap, r.jitter * interval '1 millisecond', r.from_at, r.until_at, r.excluded, coalesce(r.max_runs, 0), r.enabled, r.next_run_at,
  r.last_tick_at, r.last_run_at, r.run_count, r.missed_count, r.skipped_count, r.last_messages, r.last_error, r.declared, r.edited_at, r.dropped_at, r.updated_at
from jsonb_to_recordset($1::text::jsonb) as r(name text, owner text, kind text, expression text, timezone text, anchor_at timestamptz, message_type text, content_type text,
  queue_name text, stamps jsonb, body text, missed text, missed_window bigint, overlap text, jitter bigint, from_at timestamptz, until_at timestamptz, excluded jsonb,
  max_runs bigint, enabled boolean, next_run_at timestamptz, last_tick_at timestamptz, last_run_at timestamptz, run_count bigint, missed_count bigint, skipped_count bigint,
  last_messages uuid[], last_error text, declared text, edited_at timestamptz, dropped_at timestamptz, created_at timestamptz, updated_at timestamptz)
on conflict (name) do nothing returning name
