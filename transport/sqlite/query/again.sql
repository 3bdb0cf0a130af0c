-- puts a delivery back: ?1 seq, ?2 status, ?3 available_at (null: as it was), ?4 retries, ?5 snoozes, ?6 unhandled to add,
-- ?7 waiting_for, ?8 error, ?9 class, ?10 attempts (?8 to ?10 null: as they were)
update messenger_messages set status = ?2, available_at = coalesce(?3, available_at),
  retry_count = retry_count + ?4, snooze_count = snooze_count + ?5, unhandled_count = unhandled_count + ?6,
  waiting_for = ?7, last_error = coalesce(?8, last_error), error_class = coalesce(?9, error_class), attempts = coalesce(?10, attempts),
  locked_by = null, locked_at = null
where seq = ?1
