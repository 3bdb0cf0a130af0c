-- the filter: ?1 JSON array of ids in hexadecimal, ?2 type, ?3 queue, ?4 reason, ?5 class, ?6 fingerprint, ?7 since, ?8 until,
-- ?9 the id to continue after; null does not filter. ?10 how many
select id, queue_name, message_type, subscriber, 'failed', null, priority, created_at, scheduled_at, null, expires_at, failed_at,
  retry_count, max_retries, crash_count, snooze_count, fence, null, null,
  null, idempotency_key, group_key, reason, error, error_class, fingerprint, attempt_log,
  headers, tags, version, content_type, body
from messenger_failed_messages
where (?1 is null or id in (select unhex(value) from json_each(?1)))
  and (?2 is null or message_type = ?2) and (?3 is null or queue_name = ?3) and (?4 is null or reason = ?4)
  and (?5 is null or error_class = ?5) and (?6 is null or fingerprint = ?6)
  and (?7 is null or failed_at >= ?7) and (?8 is null or failed_at < ?8)
  and (?9 is null or seq < (select seq from messenger_failed_messages where id = ?9))
order by seq desc limit ?10
