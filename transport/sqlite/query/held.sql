-- what verdicts are about; ?1 JSON array of seq
select m.seq, m.id, m.queue_name, m.message_type, m.subscriber, m.status, m.fence, m.retry_count, m.expires_at, m.group_key,
  m.idempotency_key is not null, m.attempts, m.last_error, m.error_class,
  case when m.cancel_requested then 1 else 0 end
from messenger_messages m
where m.seq in (select value from json_each(?1))
