-- How long the first ready message of each queue and priority has been due, in milliseconds: the longest of that.
select coalesce(max(ceil(extract(epoch from symphony.clock() - (
  select m.available_at from symphony.messenger_messages m
  where m.queue_name = q.queue_name and m.priority = p.priority and m.status = 'pending' and m.waiting_for is null
  order by m.seq limit 1)) * 1000)), 0)::bigint
from (
  select queue_name from (
    select queue_name, due from symphony.messenger_stats union all select queue_name, due from symphony.messenger_stats_deltas) s
  where queue_name <> all (array(select x.name from symphony.messenger_pauses x where x.kind = 'queue')) group by 1 having sum(due) > 0) q,
  generate_series(1, 10) as p(priority)
