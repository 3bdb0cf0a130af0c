-- The minutes that begin at $1 or later and before $2.
select at, queue_name, message_type, completed, retried, failed, other, wait, run from symphony.messenger_minutes
where at >= $1::timestamptz and at < $2::timestamptz order by 1, 2, 3
