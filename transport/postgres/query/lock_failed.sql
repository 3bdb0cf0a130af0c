-- Locks dead letters $1 in their order, for those who repair some.
select id::text from symphony.messenger_failed_messages where id = any ($1::uuid[]) order by seq for update
