-- Ends messages $1 as completed, whose tokens are $2, and keeps no history. They have neither keys nor groups, and differ from each other. $3 is
-- where the claim put them: they are found there without an index. $4 are the tokens, each once: they are looked at again when
-- somebody changed a message meanwhile. Answers the numbers of those that are not there, or have another token; null: none.
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
  returning m.id, m.queue_name, m.message_type),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, due, completed)
  select queue_name, message_type, -count(*), count(*) from gone group by 1, 2)
select case when (select count(*) from gone) < cardinality($1)
  then array(select g.n::integer from given g where not exists (select from gone where gone.id = g.id)) end
