-- Deletes minutes that are older than $2 milliseconds, $1 at most, and answers how many there were.
with gone as (
  delete from symphony.messenger_minutes where ctid = any (array(
    select ctid from symphony.messenger_minutes where at < (select symphony.clock()) - $2::bigint * interval '1 millisecond' limit $1::integer for update skip locked))
  returning 1)
select count(*) from gone
