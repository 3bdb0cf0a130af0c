-- Deletes keys whose windows are over and whose messages have ended, $1 at most, and answers how many there were.
with gone as (
  delete from symphony.messenger_keys where ctid = any (array(
    select ctid from symphony.messenger_keys where expires_at <= (select symphony.clock()) and not live order by expires_at limit $1::integer for update skip locked))
  returning 1)
select count(*) from gone
