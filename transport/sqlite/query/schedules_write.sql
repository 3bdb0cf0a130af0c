insert or replace into messenger_schedules (name, owner, kind, expression, timezone, anchor_at, message_type, content_type, queue_name, stamps, body, missed, missed_window, overlap, jitter,
  from_at, until_at, excluded, max_runs, enabled, next_run_at, last_tick_at, last_run_at, run_count, missed_count, skipped_count, last_messages, last_error,
  declared, edited_at, dropped_at, created_at, updated_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
