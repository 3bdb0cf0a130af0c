-- ?1 worker, ?2 now, ?3 queue, ?4 how many
update messenger_messages set status = 'processing', locked_by = ?1, locked_at = ?2, fence = fence + 1
where seq in (
  select seq from messenger_messages
  where queue_name = ?3 and status = 'pending' and waiting_for is null
  order by priority desc, seq limit ?4)
returning seq, id, queue_name, message_type, subscriber, priority, created_at, available_at, expires_at, retry_count, max_retries, crash_count,
  unhandled_count, fence, idempotency_key, group_key, headers, tags, version, content_type, body
