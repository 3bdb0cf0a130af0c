-- gives a message that waits another content: ?1 seq, ?2 priority, ?3 max_retries, ?4 headers, ?5 tags, ?6 version, ?7 content type, ?8 body
update messenger_messages set priority = ?2, max_retries = ?3, headers = ?4, tags = ?5, version = ?6, content_type = ?7, body = ?8 where seq = ?1
