-- The first ready message of each priority of queue $1.
select p.priority, (select r.seq from symphony.messenger_messages r
  where r.queue_name = $1::text and r.priority = p.priority and r.status = 'pending' and r.waiting_for is null order by r.seq limit 1)
from generate_series(1, 10) as p(priority)
