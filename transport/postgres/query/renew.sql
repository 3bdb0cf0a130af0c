-- The heartbeat of worker $1, which knows of the messages $2 with the tokens $3. Answers, by their numbers, which of them it has no
-- more, and which somebody has cancelled; and the time and how many milliseconds its leases last, null if nobody knows the worker. The messages
-- are found by their ids: the index of what workers have is full of old entries while some transaction is long.
with alive as (
  update symphony.messenger_workers w set alive_until = greatest(w.alive_until, symphony.clock() + w.lease) where w.identity = $1::text
  returning w.worker, w.lease),
given as materialized (
  select * from unnest($2::uuid[], $3::bigint[]) with ordinality as v(id, token, n)),
mine as materialized (
  select g.n, m.cancel_requested
  from alive a cross join given g cross join lateral (select * from symphony.messenger_messages m where m.id = g.id offset 0) m
  where m.token = g.token and m.locked_by = a.worker)
select
  array(select g.n::integer from given g where not exists (select from mine m where m.n = g.n)) as lost,
  array(select m.n::integer from mine m where m.cancel_requested) as cancelled,
  symphony.clock() as now, (select (extract(epoch from a.lease) * 1000)::bigint from alive a) as lease
