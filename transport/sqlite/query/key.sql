-- takes a key, unless it is taken: ?1 type, ?2 subscriber, ?3 key, ?4 id, ?5 hash of the body, ?6 end of the window, ?7 now
insert into messenger_keys (message_type, subscriber, key, message_id, body_hash, expires_at) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict (message_type, subscriber, key) do update
  set message_id = excluded.message_id, body_hash = excluded.body_hash, expires_at = excluded.expires_at
  where expires_at <= ?7 and not exists (select 1 from messenger_messages m where m.id = message_id)
