-- Stores messages without keys and groups, if the subscriptions are still those of which the sender knows: $1. Answers the
-- number of the subscriptions there are. A message that is there already is passed over.
with sent as (
  insert into symphony.messenger_messages (id, queue_name, message_type, subscriber, status, priority, created_at, scheduled_at,
    available_at, expires_at, max_retries, headers, tags, version, content_type, body)
  select i.id, i.queue, i.type, i.subscriber,
    (case when i.at > c.now or i.delay > 0 then 'scheduled' else 'pending' end)::symphony.messenger_status,
    i.priority, c.now, case when i.delay > 0 then c.now + i.delay * interval '1 millisecond' else i.at end,
    case when i.delay > 0 then c.now + i.delay * interval '1 millisecond' else greatest(i.at, c.now) end,
    case when i.expiry > 0 then c.now + i.expiry * interval '1 millisecond' end,
    i.max_retries, i.headers::jsonb, i.tags::text[], i.version, i.content_type, i.body
  from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::timestamptz[], $8::bigint[], $9::bigint[], $10::bigint[],
      $11::text[], $12::text[], $13::bigint[], $14::text[], $15::bytea[])
    as i(id, queue, type, subscriber, priority, at, delay, expiry, max_retries, headers, tags, version, content_type, body),
    (select symphony.clock() as now) c
  where (select number from symphony.messenger_state where name = 'subscriptions') = $1
  on conflict (id) do nothing
  returning queue_name, message_type, status),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, pending, scheduled)
  select queue_name, message_type, count(*) filter (where status = 'pending'), count(*) filter (where status = 'scheduled')
  from sent group by 1, 2)
select number from symphony.messenger_state where name = 'subscriptions'
