-- The heartbeat of worker $1, which knows of the messages $2 with the tokens $3. Answers, by their numbers, which of them it has no
-- more, and which somebody has cancelled; and the ids of what is leased to it besides them for longer than a lease.
with alive as (
  update symphony.messenger_workers w set alive_until = greatest(w.alive_until, symphony.clock() + w.lease) where w.identity = $1::text
  returning w.worker, w.lease),
given as materialized (
  select * from unnest($2::uuid[], $3::bigint[]) with ordinality as v(id, token, n)),
mine as materialized (
  select m.id, m.token, m.cancel_requested, m.locked_at + a.lease <= symphony.clock() as old
  from alive a cross join lateral (select * from symphony.messenger_messages m where m.locked_by = a.worker offset 0) m)
select
  array(select g.n::integer from given g where not exists (select from mine m where m.id = g.id and m.token = g.token)) as lost,
  array(select g.n::integer from given g join mine m on m.id = g.id and m.token = g.token where m.cancel_requested) as cancelled,
  array(select m.id from mine m where m.old and not exists (select from given g where g.id = m.id and g.token = m.token)) as orphans,
  array(select m.token from mine m where m.old and not exists (select from given g where g.id = m.id and g.token = m.token)) as orphan_tokens
