-- Ends messages as done.sql does, and writes their history: $4 says whether with their bodies.
with given as materialized (
  select * from unnest($1::uuid[], $2::bigint[]) with ordinality as v(id, token, n)),
gone as (
  delete from symphony.messenger_messages m using given g
  where m.ctid = any ($3::tid[]) and m.id = g.id and m.token = g.token
  returning m.*, g.n),
ended as (
  insert into symphony.messenger_history (finished_at, id, created_at, available_at, fence, locked_at, scheduled_at, expires_at, status,
    retry_count, snooze_count, crash_count, version, max_retries, priority, queue_name, message_type, subscriber, content_type, locked_by,
    last_error, error_class, attempts, headers, tags, body)
  select (select symphony.clock()), g.id, g.created_at, g.available_at, g.fence, g.locked_at, g.scheduled_at, g.expires_at, 'completed',
    g.retry_count, g.snooze_count, g.crash_count, g.version, g.max_retries, g.priority, g.queue_name, g.message_type, g.subscriber, g.content_type,
    w.identity, g.last_error, g.error_class, g.attempts, g.headers, g.tags, case when $4::boolean then g.body end
  from gone g left join symphony.messenger_workers w on w.worker = g.locked_by),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, processing, completed)
  select queue_name, message_type, -count(*), count(*) from gone group by 1, 2)
select case when (select count(*) from gone) < cardinality($1)
  then array(select g.n::integer from given g where not exists (select from gone where gone.n = g.n)) end
