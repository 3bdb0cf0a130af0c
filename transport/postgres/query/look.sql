-- What is there to do? $1 queues, $2 as $8 of claim.sql. Times are milliseconds from now; null: nothing will happen by itself. The
-- limits keep the planner from reading all there is instead of the first of it, which it would if the tables once were small.
select
  exists (select from unnest($1::text[]) with ordinality as q(name, n), generate_series(10, 1, -1) as p(priority),
    lateral (select from symphony.messenger_messages r where r.queue_name = q.name and r.priority = p.priority and r.status = 'pending'
      and r.waiting_for is null and r.seq > ($2::bigint[])[(q.n - 1) * 10 + p.priority] order by r.seq limit 1) f
    where q.name <> all (array(select x.name from symphony.messenger_pauses x where x.kind = 'queue'))) as ready,
  exists (select from symphony.messenger_group_wakes) as woken,
  ceil(extract(epoch from (select available_at from symphony.messenger_messages where status = 'scheduled' order by available_at, seq limit 1) - c.now)
    * 1000)::bigint as due,
  ceil(extract(epoch from (select min(alive_until) from symphony.messenger_workers) - c.now) * 1000)::bigint as dead
from (select symphony.clock() as now) c
