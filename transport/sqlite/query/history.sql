-- ?1 JSON array of seq, ?2 status, ?3 now, ?4 keep the body
insert into messenger_history (id, queue_name, message_type, subscriber, status, finished_at, locked_at, locked_by, priority, created_at,
  scheduled_at, available_at, expires_at, retry_count, max_retries, crash_count, snooze_count, fence, idempotency_key, group_key,
  last_error, error_class, attempts, headers, tags, version, content_type, body)
select id, queue_name, message_type, subscriber, ?2, ?3, locked_at,
  (select identity from messenger_workers w where w.worker = locked_by), priority, created_at,
  scheduled_at, available_at, expires_at, retry_count, max_retries, crash_count, snooze_count, fence, idempotency_key, group_key,
  last_error, error_class, attempts, headers, tags, version, content_type, case when ?4 then body end
from messenger_messages where seq in (select value from json_each(?1))
