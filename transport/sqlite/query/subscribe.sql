insert into messenger_subscriptions (message_type, subscriber, queue_name, stamps, owner, created_at, last_seen) values (?1, ?2, ?3, ?4, ?5, ?6, ?6)
on conflict (message_type, subscriber) do update
  set queue_name = excluded.queue_name, stamps = excluded.stamps, owner = excluded.owner, last_seen = excluded.last_seen
