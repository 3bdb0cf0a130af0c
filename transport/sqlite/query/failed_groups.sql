-- groups dead letters, the latest ?2 with numbers below ?1: ?3 type, ?4 queue, ?5 reason, ?6 class, ?7 since, ?8 until; null does not
-- filter. Answers in each row how many were read, and the number of the last
with found as materialized (
  select seq, fingerprint, message_type, queue_name, reason, error_class, failed_at from messenger_failed_messages
  where seq < ?1 order by seq desc limit ?2),
sums as materialized (
  select fingerprint, count(*) as count, min(failed_at) as first, max(failed_at) as last, max(seq) as seq from found
  where (?3 is null or message_type = ?3) and (?4 is null or queue_name = ?4) and (?5 is null or reason = ?5)
    and (?6 is null or error_class = ?6) and (?7 is null or failed_at >= ?7) and (?8 is null or failed_at < ?8)
  group by 1)
select a.n, a.seq, g.*
from (select count(*) as n, coalesce(min(seq), 0) as seq from found) a left join (
  select s.fingerprint, f.message_type, f.error_class, f.reason, s.count, s.first, s.last, f.id, substr(f.error, 1, 4096)
  from sums s join messenger_failed_messages f on f.seq = s.seq) g
