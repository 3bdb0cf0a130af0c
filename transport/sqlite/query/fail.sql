-- ?1 seq, ?2 transport, ?3 reason, ?4 error, ?5 class, ?6 trace, ?7 fingerprint, ?8 now, ?9 failures to add, ?10 attempts
insert into messenger_failed_messages (id, transport, queue_name, message_type, subscriber, reason, error, error_class, error_trace, fingerprint,
  failed_at, attempts, attempt_log, priority, created_at, scheduled_at, expires_at, retry_count, max_retries, crash_count, snooze_count, fence,
  idempotency_key, group_key, headers, tags, version, content_type, body)
select id, ?2, queue_name, message_type, subscriber, ?3, ?4, ?5, ?6, ?7, ?8, retry_count + ?9, ?10, priority, created_at, scheduled_at,
  expires_at, retry_count, max_retries, crash_count, snooze_count, fence, idempotency_key, group_key, headers, tags, version, content_type, body
from messenger_messages where seq = ?1
