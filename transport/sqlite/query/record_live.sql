-- ?1 JSON array of ids in hexadecimal
select id, queue_name, message_type, subscriber, status, waiting_for, priority, created_at, scheduled_at, available_at, expires_at, null,
  retry_count, max_retries, crash_count, snooze_count, fence, (select identity from messenger_workers where worker = locked_by), locked_at,
  (select alive_until from messenger_workers where worker = locked_by), idempotency_key, group_key, null, last_error, error_class, null, attempts,
  headers, tags, version, content_type, body
from messenger_messages where id in (select unhex(value) from json_each(?1))
