-- Stores new messages that are due at once and have neither keys nor groups, if the subscriptions are still those of which the sender knows: $1.
-- Answers the number of the subscriptions there are. The sender has counted them by queue and type: $13, $14, $15. What is the default for all of
-- them may be a null instead of an array. A message that is there already is an error, and nothing is stored: looking for it first, and counting
-- afterwards what was stored, was a third of the work. messenger_accept does all that.
with subscriptions as materialized (
  select number from symphony.messenger_state where name = 'subscriptions'),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, due)
  select c.queue, c.type, c.number from unnest($13::text[], $14::text[], $15::bigint[]) as c(queue, type, number)
  where (select number from subscriptions) = $1),
sent as (
  insert into symphony.messenger_messages (id, queue_name, message_type, subscriber, status, priority, created_at, available_at,
    max_retries, headers, tags, version, content_type, body)
  select i.id, i.queue, i.type, coalesce(i.subscriber, ''), 'pending', i.priority, c.now, c.now,
    i.max_retries, i.headers::jsonb, i.tags::text[], coalesce(i.version, 0), i.content_type, i.body
  from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bytea[])
    as i(id, queue, type, subscriber, priority, max_retries, headers, tags, version, content_type, body),
    (select symphony.clock() as now) c
  where (select number from subscriptions) = $1)
select number from subscriptions
