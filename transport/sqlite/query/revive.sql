-- puts a dead letter back, with no failures counted and no deadline: ?1 id, ?2 status, ?3 waiting_for, ?4 now
insert into messenger_messages (id, queue_name, message_type, subscriber, status, waiting_for, priority, created_at, scheduled_at, available_at,
  max_retries, snooze_count, fence, idempotency_key, group_key, last_error, error_class, attempts, headers, tags, version, content_type, body)
select id, queue_name, message_type, subscriber, ?2, ?3, priority, created_at, scheduled_at, ?4, max_retries, snooze_count, fence,
  idempotency_key, group_key, error, error_class, attempt_log, headers, tags, version, content_type, body
from messenger_failed_messages where id = ?1
