-- ?1 JSON array of ids in hexadecimal
select id, queue_name, message_type, subscriber, status, null, priority, created_at, scheduled_at, available_at, expires_at, finished_at,
  retry_count, max_retries, crash_count, snooze_count, fence, null, null,
  null, idempotency_key, group_key, null, last_error, error_class, null, attempts,
  headers, tags, version, content_type, body
from messenger_history where seq in (select max(seq) from messenger_history where id in (select unhex(value) from json_each(?1)) group by id)
