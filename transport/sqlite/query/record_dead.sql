-- ?1 JSON array of ids in hexadecimal
select id, queue_name, message_type, subscriber, 'failed', null, priority, created_at, scheduled_at, null, expires_at, failed_at,
  retry_count, max_retries, crash_count, snooze_count, fence, null, null,
  null, idempotency_key, group_key, reason, error, error_class, fingerprint, attempt_log,
  headers, tags, version, content_type, body
from messenger_failed_messages
where id in (select unhex(value) from json_each(?1))
