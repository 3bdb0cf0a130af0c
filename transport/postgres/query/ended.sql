-- Which of $1 are dead letters or in the history?
select id::text from symphony.messenger_failed_messages where id = any ($1::uuid[])
union all select id::text from symphony.messenger_history where id = any ($1::uuid[])
