insert into messenger_messages (id, queue_name, message_type, subscriber, status, priority, created_at, scheduled_at, available_at,
  expires_at, max_retries, idempotency_key, group_key, headers, tags, version, content_type, body)
values
