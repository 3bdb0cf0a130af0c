-- makes messages claimable again whose types are not paused any more, ?1 at most
update messenger_messages set waiting_for = null
where seq in (
  select m.seq from messenger_pauses p join messenger_messages m on m.waiting_for = 'paused' and m.message_type = p.name
  where p.kind = 'type' and p.resumed_at is not null limit ?1)
