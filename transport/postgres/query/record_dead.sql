-- $1 ids
select id, queue_name, message_type, subscriber, 'failed', null, priority, created_at, scheduled_at, null::timestamptz,
  expires_at, failed_at, retry_count, max_retries, crash_count, snooze_count, fence, null, null::timestamptz, null::timestamptz,
  idempotency_key, group_key, reason, error, error_class, fingerprint, attempt_log, headers, tags, version, content_type, body
from symphony.messenger_failed_messages
where id = any ($1::uuid[])
