-- Groups dead letters, the latest $2 with numbers below $1: $3 type, $4 queue, $5 reason, $6 class, $7 since, $8 until; null does not
-- filter. Answers in each row how many were read, and the number of the last.
with found as materialized (
  select f.seq, f.fingerprint, f.message_type, f.queue_name, f.reason, f.error_class, f.failed_at from symphony.messenger_failed_messages f
  where f.seq < $1::bigint order by f.seq desc limit $2::integer),
sums as materialized (
  select f.fingerprint, count(*) as count, min(f.failed_at) as first, max(f.failed_at) as last, max(f.seq) as seq from found f
  where ($3::text is null or f.message_type = $3) and ($4::text is null or f.queue_name = $4) and ($5::text is null or f.reason = $5)
    and ($6::text is null or f.error_class = $6) and ($7::timestamptz is null or f.failed_at >= $7) and ($8::timestamptz is null or f.failed_at < $8)
  group by 1)
select a.n, a.seq, g.*
from (select count(*)::integer as n, coalesce(min(seq), 0) as seq from found) a left join lateral (
  select s.fingerprint, f.message_type, f.error_class, f.reason, s.count, s.first, s.last, f.id, left(f.error, 4096)
  from sums s join symphony.messenger_failed_messages f on f.seq = s.seq) g on true
