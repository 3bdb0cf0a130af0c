-- since when the first ready message of each queue and priority has been due
select (select available_at from messenger_messages m
  where m.queue_name = s.queue_name and m.status = 'pending' and m.waiting_for is null and m.priority = p.value
  order by m.seq limit 1) as since
from (select distinct queue_name from messenger_stats where status = 'pending' and count > 0
  and queue_name not in (select name from messenger_pauses where kind = 'queue')) s,
  json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]') p
where since is not null
