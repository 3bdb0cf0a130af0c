-- ?1 JSON array of seq
update messenger_messages set status = 'pending', waiting_for = null
where seq in (select value from json_each(?1))
