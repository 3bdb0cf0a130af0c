-- The filter: $1 ids, $2 type, $3 queue, $4 reason, $5 class, $6 fingerprint, $7 since, $8 until, $9 the id to continue after; null does
-- not filter. $10 how many.
select id, queue_name, message_type, subscriber, 'failed', null, priority, created_at, scheduled_at, null::timestamptz,
  expires_at, failed_at, retry_count, max_retries, crash_count, snooze_count, fence, null, null::timestamptz, null::timestamptz,
  idempotency_key, group_key, reason, error, error_class, fingerprint, attempt_log, headers, tags, version, content_type, body
from symphony.messenger_failed_messages
where ($1::uuid[] is null or id = any ($1)) and ($2::text is null or message_type = $2) and ($3::text is null or queue_name = $3)
  and ($4::text is null or reason = $4) and ($5::text is null or error_class = $5) and ($6::text is null or fingerprint = $6)
  and ($7::timestamptz is null or failed_at >= $7) and ($8::timestamptz is null or failed_at < $8)
  and ($9::uuid is null or seq < (select f.seq from symphony.messenger_failed_messages f where f.id = $9))
order by seq desc limit $10
