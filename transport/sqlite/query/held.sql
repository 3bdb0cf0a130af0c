-- what verdicts are about; ?1 JSON array of seq
select m.seq, m.id, m.queue_name, m.message_type, m.subscriber, m.status, m.fence, m.retry_count, m.expires_at, m.group_key,
  m.attempts, m.last_error, m.error_class,
  m.cancel_requested, coalesce(m.waiting_for = 'handler', 0)
from messenger_messages m
where m.seq in (select value from json_each(?1))
