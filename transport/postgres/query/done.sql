-- Ends messages $1 as completed, whose tokens are $2, and keeps no history. They have neither keys nor groups. $3 is where the claim put
-- them: they are found there without an index. Answers the numbers of those that are not there, or have another token; null: none. The
-- token alone says that a message is leased: with a condition on the status, of which the statistics know next to nothing, the
-- planner joins by nested loops.
with given as materialized (
  select * from unnest($1::uuid[], $2::bigint[]) with ordinality as v(id, token, n)),
gone as (
  delete from symphony.messenger_messages m using given g
  where m.ctid = any ($3::tid[]) and m.id = g.id and m.token = g.token
  returning g.n, m.queue_name, m.message_type),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, processing, completed)
  select queue_name, message_type, -count(*), count(*) from gone group by 1, 2)
select case when (select count(*) from gone) < cardinality($1)
  then array(select g.n::integer from given g where not exists (select from gone where gone.n = g.n)) end
