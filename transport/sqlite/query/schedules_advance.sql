update messenger_schedules set next_run_at = ?2, last_tick_at = ?3, last_run_at = ?4, run_count = ?5, missed_count = ?6, skipped_count = ?7,
  last_messages = ?8, last_error = ?9
where name = ?1
