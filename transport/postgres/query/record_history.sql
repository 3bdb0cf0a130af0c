-- $1 ids, $2 how long history is kept, in milliseconds: what is older may still be there, until its partition is dropped.
select distinct on (id) id, queue_name, message_type, subscriber, status::text, null, priority, created_at, scheduled_at, available_at,
  expires_at, finished_at, retry_count, max_retries, crash_count, snooze_count, fence, null, null::timestamptz, null::timestamptz,
  idempotency_key, group_key, null, last_error, error_class, null, attempts, headers, tags, version, content_type, body
from symphony.messenger_history
where id = any ($1::uuid[]) and finished_at > symphony.clock() - $2::bigint * interval '1 millisecond'
order by id, finished_at desc
