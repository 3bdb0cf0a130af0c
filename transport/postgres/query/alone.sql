-- Answers whether nobody but the workers $1 is alive.
select not exists (select from symphony.messenger_workers w where w.alive_until > symphony.clock() and w.identity <> all ($1::text[]))
