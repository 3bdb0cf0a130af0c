-- workers alive at ?1, each with the first ?2 of what it has
select w.identity, w.started_at, w.alive_until, w.lease, w.queues,
  (select count(*) from messenger_messages m where m.locked_by = w.worker and m.status = 'processing'),
  m.id, m.message_type, m.queue_name, m.retry_count + 1, m.locked_at, m.cancel_requested
from messenger_workers w left join messenger_messages m on m.locked_by = w.worker and m.status = 'processing'
  and m.seq in (select seq from messenger_messages r where r.locked_by = w.worker and r.status = 'processing' order by r.locked_at, r.seq limit ?2)
where w.alive_until > ?1
order by w.started_at, w.worker, m.locked_at, m.seq
