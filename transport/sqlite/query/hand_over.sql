-- gives a key to another message, or notes the new hash of its body: ?1 type, ?2 subscriber, ?3 key, ?4 id, ?5 hash, ?6 end of the window (null: as it was)
update messenger_keys set message_id = ?4, body_hash = ?5, expires_at = coalesce(?6, expires_at) where message_type = ?1 and subscriber = ?2 and key = ?3
