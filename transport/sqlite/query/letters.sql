-- a portion of the dead letters with numbers below ?1, the latest first: ?2 of them are read at most, all or those of a JSON array of ids in
-- hexadecimal, ?3. Answers in each row how many were read and the number of the last, and those that match, ?4 at most, with number
-- and id. The conditions, null for none: ?5 type, ?6 queue, ?7 reason, ?8 class, ?9 fingerprint, ?10 since, ?11 until
with found as materialized (
  select * from (
    select * from (select seq, id, message_type, queue_name, reason, error_class, fingerprint, failed_at
    from messenger_failed_messages where ?3 is null and seq < ?1 order by seq desc limit ?2)
    union all
    select * from (select seq, id, message_type, queue_name, reason, error_class, fingerprint, failed_at
    from messenger_failed_messages where id in (select unhex(value) from json_each(?3)) and seq < ?1 order by seq desc limit ?2)))
select a.n, a.seq, m.seq, m.id
from (select count(*) as n, min(seq) as seq from found) a
left join (
  select seq, id from found
  where (?5 is null or message_type = ?5) and (?6 is null or queue_name = ?6) and (?7 is null or reason = ?7)
    and (?8 is null or error_class = ?8) and (?9 is null or fingerprint = ?9)
    and (?10 is null or failed_at >= ?10) and (?11 is null or failed_at < ?11)
  order by seq desc limit ?4) m
