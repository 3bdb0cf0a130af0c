-- Makes messages claimable again whose types are not paused any more, $1 at most, and answers how many there were.
with back as (
  update symphony.messenger_messages m set waiting_for = null
  where m.ctid = any (array(
    select m.ctid from symphony.messenger_messages m
    where m.waiting_for = 'paused' and m.message_type = any (array(select p.name from symphony.messenger_pauses p where p.kind = 'type' and p.resumed_at is not null))
    order by m.message_type, m.seq limit $1::integer for update skip locked))
  returning 1)
select count(*) from back
