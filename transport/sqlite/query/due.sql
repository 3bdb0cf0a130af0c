-- ?1 now, ?2 how many
select seq, queue_name, message_type, group_key, coalesce(waiting_for = 'handler', 0) from messenger_messages
where status = 'scheduled' and available_at <= ?1
order by available_at, seq limit ?2
