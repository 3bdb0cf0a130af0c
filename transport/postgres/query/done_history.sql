-- Ends messages $1 as completed, whose tokens are $2, and keeps history. They have neither keys nor groups, and differ from each other. $3 is
-- where the claim put them: they are found there without an index. $4 are the tokens, each once: they are looked at again when
-- somebody changed a message meanwhile. Answers the numbers of those that are not there, or have another token; null: none.
-- $5 says whether history has the bodies.
-- The token alone says that a message is leased: of its status the statistics know next to nothing. And the places are looked up
-- one by one: however the tables looked when the plan was made, that cannot become a search.
with given as materialized (
  select * from unnest($1::uuid[], $2::bigint[], $3::tid[]) with ordinality as v(id, token, place, n)),
gone as (
  delete from symphony.messenger_messages m
  where m.ctid = any (array(
      select h.place from given g cross join lateral (
        select m.ctid as place from symphony.messenger_messages m where m.ctid = g.place and m.id = g.id and m.token = g.token limit 1) h))
    and m.token = any ($4::bigint[])
  returning m.*),
-- They are one worker's, mostly: to look its name up for each of them was a tenth of the work.
whose as materialized (
  select w.worker, w.identity from symphony.messenger_workers w where w.worker = (select g.locked_by from gone g limit 1)),
ended as (
  insert into symphony.messenger_history (finished_at, id, created_at, available_at, fence, locked_at, scheduled_at, expires_at, status,
    retry_count, snooze_count, crash_count, version, max_retries, priority, queue_name, message_type, subscriber, content_type, locked_by,
    last_error, error_class, attempts, headers, tags, body)
  select (select symphony.clock()), g.id, g.created_at, g.available_at, g.fence, g.locked_at, g.scheduled_at, g.expires_at, 'completed',
    g.retry_count, g.snooze_count, g.crash_count, g.version, g.max_retries, g.priority, g.queue_name, g.message_type, g.subscriber, g.content_type,
    case when g.locked_by = (select o.worker from whose o) then (select o.identity from whose o)
      else (select w.identity from symphony.messenger_workers w where w.worker = g.locked_by) end,
    g.last_error, g.error_class, g.attempts, g.headers, g.tags, case when $5::boolean then g.body end
  from gone g),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, due, completed)
  select queue_name, message_type, -count(*), count(*) from gone group by 1, 2)
select case when (select count(*) from gone) < cardinality($1)
  then array(select g.n::integer from given g where not exists (select from gone where gone.id = g.id)) end
