-- takes messages of paused types out of the index that claims walk, among the first ?2 that are ready in queue ?1
update messenger_messages set waiting_for = 'paused'
where seq in (
  select seq from (
    select seq, message_type from messenger_messages
    where queue_name = ?1 and status = 'pending' and waiting_for is null order by priority desc, seq limit ?2)
  where message_type in (select name from messenger_pauses where kind = 'type' and resumed_at is null))
