-- What is leased to worker $1 for longer than a lease, besides the messages $2 with the tokens $3: it has never arrived there.
select m.id, m.token
from symphony.messenger_workers w
cross join lateral (select * from symphony.messenger_messages m where m.locked_by = w.worker offset 0) m
where w.identity = $1::text and m.locked_at + w.lease <= symphony.clock()
  and not exists (select from unnest($2::uuid[], $3::bigint[]) as g(id, token) where g.id = m.id and g.token = m.token)
