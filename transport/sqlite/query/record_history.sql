select id, queue_name, message_type, subscriber, status, null, priority, created_at, scheduled_at, available_at, expires_at, finished_at,
  retry_count, max_retries, crash_count, snooze_count, fence, null, null,
  null, idempotency_key, group_key, null, last_error, error_class, null, attempts,
  headers, tags, version, content_type, body
from messenger_history where id = ? order by seq desc limit 1
