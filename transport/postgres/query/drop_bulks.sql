-- Deletes bulks that ended more than $2 milliseconds ago, $1 at most, and answers how many there were.
with gone as (
  delete from symphony.messenger_bulks where ctid = any (array(
    select ctid from symphony.messenger_bulks where finished_at < (select symphony.clock()) - $2::bigint * interval '1 millisecond' limit $1::integer for update skip locked))
  returning 1)
select count(*) from gone
