select m.id, m.queue_name, m.message_type, m.subscriber, m.status::text, m.waiting_for, m.priority, m.created_at, m.scheduled_at, m.available_at,
  m.expires_at, null::timestamptz, m.retry_count, m.max_retries, m.crash_count, m.snooze_count, m.fence, w.identity, m.locked_at, w.alive_until,
  m.idempotency_key, m.group_key, null, m.last_error, m.error_class, null, m.attempts, m.headers, m.tags, m.version, m.content_type, m.body
from symphony.messenger_messages m left join symphony.messenger_workers w on w.worker = m.locked_by
where m.id = any ($1::uuid[])
