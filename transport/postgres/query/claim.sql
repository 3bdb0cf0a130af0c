-- Leases messages to worker $1 under token $2 for $3 milliseconds: from the queues $4, at most $5 of each and $6 in all, but no types
-- of $7, nothing that is paused, and in each queue and priority only what comes after $8 (10 numbers a queue, for the priorities 1 to 10). The messages
-- themselves are found and locked first, and then changed by their places: a join could be planned so that the search is
-- repeated. Whoever asks sorts: changed rows come in the order of their places.
with worker as (
  insert into symphony.messenger_workers as w (identity, started_at, alive_until, lease, queues)
  select $1::text, c.now, c.now + ($3::bigint + 500) * interval '1 millisecond', $3 * interval '1 millisecond', array(select q from unnest($4::text[]) q order by 1) from (select symphony.clock() as now) c
  -- The row is not changed with every claim, nor locked: its old versions could not be removed while some transaction is long, and claims
  -- would wait for each other. A worker that lives much longer than this statement is taken for dead by nobody meanwhile.
  where not exists (select from symphony.messenger_workers w where w.identity = $1
    and w.alive_until >= c.now + $3 * interval '1 millisecond' and w.lease = $3 * interval '1 millisecond')
  on conflict (identity) do update set alive_until = excluded.alive_until, lease = excluded.lease,
    -- A claim leaves out the queues of which the worker has as many as it may.
    queues = case when w.queues @> excluded.queues then w.queues else array(select q from unnest(w.queues || excluded.queues) q group by 1 order by 1) end
  returning w.worker)
update symphony.messenger_messages m set status = 'processing', token = $2, fence = m.fence + 1, locked_at = (select symphony.clock()),
  locked_by = (select coalesce((select worker from worker), (select w.worker from symphony.messenger_workers w where w.identity = $1)))
where m.ctid = any (array(
  select r.ctid from unnest($4::text[], $5::integer[]) with ordinality as q(name, most, n)
  cross join lateral (
    select f.ctid from generate_series(10, 1, -1) as p(priority)
    cross join lateral (
      select r.ctid from symphony.messenger_messages r
      where r.queue_name = q.name and r.priority = p.priority and r.status = 'pending' and r.waiting_for is null
        and r.seq > ($8::bigint[])[(q.n - 1) * 10 + p.priority] and r.message_type <> all ($7::text[])
        and r.message_type <> all (array(select x.name from symphony.messenger_pauses x where x.kind = 'type' and x.resumed_at is null))
      order by r.seq limit q.most for update skip locked) f
    limit q.most) r
  where q.name <> all (array(select x.name from symphony.messenger_pauses x where x.kind = 'queue'))
  limit $6::integer))
returning m.ctid, m.seq, m.id, m.fence, m.created_at, m.locked_at, m.available_at, m.expires_at, m.priority, m.retry_count, m.crash_count, m.unhandled_count,
  m.version, m.max_retries, m.queue_name, m.message_type, m.subscriber, m.content_type, m.idempotency_key, m.group_key, m.headers, m.tags, m.body
