-- ?1 seq, ?2 status, ?3 available_at
update messenger_messages set status = ?2, available_at = ?3, waiting_for = null where seq = ?1
