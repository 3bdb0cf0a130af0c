-- Workers alive, each with the first $1 of what it has.
select w.identity, w.started_at, w.alive_until, (extract(epoch from w.lease) * 1000)::bigint, w.queues, w.held,
  m.id, m.message_type, m.queue_name, m.retry_count + 1, m.locked_at, m.cancel_requested
from (
  select w.*, (select count(*) from symphony.messenger_messages m where m.locked_by = w.worker) as held
  from symphony.messenger_workers w where w.alive_until > (select symphony.clock()) offset 0) w
left join lateral (
  select m.id, m.message_type, m.queue_name, m.retry_count, m.locked_at, m.cancel_requested, m.seq
  from symphony.messenger_messages m where m.locked_by = w.worker order by m.locked_at, m.seq limit $1::integer) m on true
order by w.started_at, w.worker, m.locked_at, m.seq
