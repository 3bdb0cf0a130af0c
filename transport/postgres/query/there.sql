-- Which of $1 are still live?
select id::text from symphony.messenger_messages where id = any ($1::uuid[])
