-- Forgets worker $1, which has ended, unless it still has something: that waits for the end of its lease.
delete from symphony.messenger_workers w where w.identity = $1::text
  and not exists (select from symphony.messenger_messages m where m.locked_by = w.worker offset 0)
