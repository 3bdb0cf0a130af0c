-- Forgets pauses that have ended, when nobody can still act on them: $1 milliseconds after their end.
delete from symphony.messenger_pauses p
where p.kind = 'type' and p.resumed_at < pg_catalog.clock_timestamp() - $1::bigint * interval '1 millisecond'
  and not exists (select from symphony.messenger_messages m where m.waiting_for = 'paused' and m.message_type = p.name)
