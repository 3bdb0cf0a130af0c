insert into messenger_stats (queue_name, message_type, status, count) values (?, ?, ?, ?)
on conflict (queue_name, message_type, status) do update set count = count + excluded.count
