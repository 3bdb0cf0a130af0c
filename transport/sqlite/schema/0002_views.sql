-- Views for people: times as text, bodies as JSON where they are JSON.

create view messenger_overview as
select lower(substr(hex(m.id), 1, 8) || '-' || substr(hex(m.id), 9, 4) || '-' || substr(hex(m.id), 13, 4) || '-' ||
         substr(hex(m.id), 17, 4) || '-' || substr(hex(m.id), 21)) as id,
  m.status, m.queue_name, m.message_type, m.subscriber, m.waiting_for, m.priority,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.created_at / 1000.0, 'unixepoch') as created_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.scheduled_at / 1000.0, 'unixepoch') as scheduled_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.available_at / 1000.0, 'unixepoch') as available_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.expires_at / 1000.0, 'unixepoch') as expires_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.finished_at / 1000.0, 'unixepoch') as finished_at,
  m.retry_count, m.max_retries, m.crash_count, m.snooze_count, m.fence,
  m.locked_by,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.locked_at / 1000.0, 'unixepoch') as locked_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', m.lock_expires_at / 1000.0, 'unixepoch') as lock_expires_at,
  m.idempotency_key, m.group_key, m.reason, m.last_error, m.error_class, m.attempts, m.headers, m.tags, m.version, m.content_type,
  case when m.content_type = 'application/json' and json_valid(cast(m.body as text)) then cast(m.body as text) end as body_json,
  m.body
from (
  select id, status, queue_name, message_type, subscriber, waiting_for, priority, created_at, scheduled_at, available_at, expires_at,
    null as finished_at, retry_count, max_retries, crash_count, snooze_count, fence,
    (select identity from messenger_workers w where w.worker = locked_by) as locked_by, locked_at,
    (select alive_until from messenger_workers w where w.worker = locked_by) as lock_expires_at,
    idempotency_key, group_key, null as reason, last_error, error_class, attempts, headers, tags, version, content_type, body
  from messenger_messages
  union all
  select id, 'failed', queue_name, message_type, subscriber, null, priority, created_at, scheduled_at, null, expires_at,
    failed_at, retry_count, max_retries, crash_count, snooze_count, fence, null, null, null,
    idempotency_key, group_key, reason, error, error_class, attempt_log, headers, tags, version, content_type, body
  from messenger_failed_messages
  union all
  select id, status, queue_name, message_type, subscriber, null, priority, created_at, scheduled_at, available_at, expires_at,
    finished_at, retry_count, max_retries, crash_count, snooze_count, fence, locked_by, locked_at, null,
    idempotency_key, group_key, null, last_error, error_class, attempts, headers, tags, version, content_type, body
  from messenger_history
) as m;

create view messenger_queue_depth as
select queue_name,
  sum(case when status = 'pending' then count else 0 end) as pending,
  sum(case when status = 'scheduled' then count else 0 end) as scheduled,
  sum(case when status = 'processing' then count else 0 end) as processing,
  sum(case when status = 'failed' then count else 0 end) as failed
from messenger_stats group by queue_name;

create view messenger_failed_summary as
select fingerprint, message_type, error_class, reason, count(*) as count,
  strftime('%Y-%m-%dT%H:%M:%fZ', min(failed_at) / 1000.0, 'unixepoch') as first_failed_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', max(failed_at) / 1000.0, 'unixepoch') as last_failed_at,
  max(error) as example
from messenger_failed_messages group by fingerprint, message_type, error_class, reason;
