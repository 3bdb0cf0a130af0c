-- Locks live messages $1 in their order, for those who change some, and says which of them nobody has.
select id::text, token is null from symphony.messenger_messages where id = any ($1::uuid[]) order by id for update
