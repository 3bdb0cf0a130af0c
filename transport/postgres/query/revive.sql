-- Puts dead letters $1 back, with no failures counted and no deadline; those of groups at their ends. Their keys are theirs.
with back as (
  delete from symphony.messenger_failed_messages f where f.id = any ($1::uuid[]) returning f.*),
sent as (
  insert into symphony.messenger_messages (id, queue_name, message_type, subscriber, status, waiting_for, priority, created_at, scheduled_at,
    available_at, max_retries, snooze_count, fence, idempotency_key, group_key, last_error, error_class, fingerprint, attempts, headers, tags,
    version, content_type, body)
  select id, queue_name, message_type, subscriber, 'pending', case when group_key is not null then 'group' end, priority, created_at, scheduled_at,
    c.now, max_retries, snooze_count, fence, idempotency_key, group_key, error, error_class, fingerprint, attempt_log, headers, tags,
    version, content_type, body
  from back, (select symphony.clock() as now) c order by back.seq),
woken as (
  insert into symphony.messenger_group_wakes (queue_name, group_key) select distinct queue_name, group_key from back where group_key is not null),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, failed, due)
  select queue_name, message_type, -count(*), count(*) from back group by 1, 2)
select id::text from back
