-- Takes messages of paused types out of the index that claims walk: among the first $1 that are ready of each queue and priority, $2 at
-- most. Answers how many there were.
with paused as materialized (
  select name from symphony.messenger_pauses where kind = 'type' and resumed_at is null),
queues as materialized (
  select queue_name from (
    select queue_name, message_type, due from symphony.messenger_stats union all select queue_name, message_type, due from symphony.messenger_stats_deltas) s
  where message_type = any (array(select name from paused)) group by 1 having sum(due) > 0),
found as materialized (
  select f.place from queues q cross join generate_series(10, 1, -1) as p(priority) cross join lateral (
    select r.place from (
      select r.ctid as place, r.message_type from symphony.messenger_messages r
      where r.queue_name = q.queue_name and r.priority = p.priority and r.status = 'pending' and r.waiting_for is null
      order by r.seq limit $1::integer) r
    where r.message_type = any (array(select name from paused))) f
  limit $2::integer),
aside as (
  update symphony.messenger_messages m set waiting_for = 'paused'
  where m.ctid = any (array(
    select m.ctid from symphony.messenger_messages m where m.ctid = any (array(select place from found)) and m.token is null for update skip locked))
  returning 1)
select count(*) from aside
