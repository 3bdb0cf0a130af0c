-- Adds changes to the counters, $1 rows at most, in the order of the counters, so that two who fold do not wait for each other.
with changes as (
  delete from symphony.messenger_stats_deltas where ctid = any (array(
    select ctid from symphony.messenger_stats_deltas limit $1::integer for update skip locked))
  returning *),
sums as (
  insert into symphony.messenger_stats as s (queue_name, message_type, due, scheduled, completed, failed, cancelled, expired, no_handler)
  select queue_name, message_type, sum(due), sum(scheduled), sum(completed), sum(failed), sum(cancelled), sum(expired), sum(no_handler)
  from changes group by 1, 2 order by 1, 2
  on conflict (queue_name, message_type) do update set due = s.due + excluded.due, scheduled = s.scheduled + excluded.scheduled,
    completed = s.completed + excluded.completed, failed = s.failed + excluded.failed,
    cancelled = s.cancelled + excluded.cancelled, expired = s.expired + excluded.expired, no_handler = s.no_handler + excluded.no_handler)
select count(*) from changes
