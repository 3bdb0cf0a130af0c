-- A portion of the dead letters with numbers below $1, the latest first: $2 of them are read at most, all or those with the ids $3.
-- Answers in each row how many were read and the number of the last, and those that match, $4 at most, with number and id. The
-- conditions, null for none: $5 type, $6 queue, $7 reason, $8 class, $9 fingerprint, $10 since, $11 until.
with found as materialized (
  (select f.seq, f.id, f.message_type, f.queue_name, f.reason, f.error_class, f.fingerprint, f.failed_at
  from symphony.messenger_failed_messages f where $3::uuid[] is null and f.seq < $1::bigint order by f.seq desc limit $2::integer)
  union all
  (select f.seq, f.id, f.message_type, f.queue_name, f.reason, f.error_class, f.fingerprint, f.failed_at
  from symphony.messenger_failed_messages f where f.id = any ($3) and f.seq < $1 order by f.seq desc limit $2))
select a.n, a.seq, m.seq, m.id
from (select count(*)::integer as n, min(f.seq) as seq from found f) a
left join lateral (
  select f.seq, f.id from found f
  where ($5::text is null or f.message_type = $5) and ($6::text is null or f.queue_name = $6) and ($7::text is null or f.reason = $7)
    and ($8::text is null or f.error_class = $8) and ($9::text is null or f.fingerprint = $9)
    and ($10::timestamptz is null or f.failed_at >= $10) and ($11::timestamptz is null or f.failed_at < $11)
  order by f.seq desc limit $4::integer) m on true
