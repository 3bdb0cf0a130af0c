-- forgets pauses that have ended
delete from messenger_pauses where kind = 'type' and resumed_at is not null
and not exists (select 1 from messenger_messages m where m.waiting_for = 'paused' and m.message_type = name)
