-- a portion of all messages with IDs between ?1 and ?2, the latest first, or the oldest by way of search.Oldest: ?3 of them are read at most, of the live ones (?4), the
-- dead letters (?5) and the ended ones (?6). Answers in each row how many were read and the last of them, and those that match,
-- ?7 at most: 1, 2 or 3 says where they are. The conditions, null for none: ?8 JSON array of states, ?9 queue, ?10 type, ?11 subscriber,
-- ?12 tag, ?13 part of the error, ?14 reason, ?15 class, ?16 fingerprint, ?17 since, ?18 until, ?19 and ?20 first of the conversation
-- as bytes and text, ?21 path and ?22 value in the body
with found as materialized (
  select * from (
    select * from (select id, 1 as place, status, queue_name, message_type, subscriber, created_at, last_error as error, error_class,
      null as reason, null as fingerprint, tags, headers, content_type, case when ?21 is not null then body end as body
    from messenger_messages where ?4 and id > ?1 and id < ?2 order by id desc limit ?3)
    union all
    select * from (select id, 2, 'failed', queue_name, message_type, subscriber, created_at, error, error_class,
      reason, fingerprint, tags, headers, content_type, case when ?21 is not null then body end
    from messenger_failed_messages where ?5 and id > ?1 and id < ?2 order by id desc limit ?3)
    union all
    select * from (select id, 3, status, queue_name, message_type, subscriber, created_at, last_error, error_class,
      null, null, tags, headers, content_type, case when ?21 is not null then body end
    from messenger_history where ?6 and id > ?1 and id < ?2 order by id desc limit ?3)
  ) order by id desc limit ?3)
select a.n, a.last, m.id, m.place
from (select count(*) as n, (select id from found order by id asc limit 1) as last from found) a
left join (
  select id, place from found
  where (?8 is null or status in (select value from json_each(?8))) and (?9 is null or queue_name = ?9) and (?10 is null or message_type = ?10)
    and (?11 is null or subscriber = ?11) and (?12 is null or exists (select 1 from json_each(tags) where value = ?12))
    and (?13 is null or instr(lower(error), lower(?13)) > 0) and (?14 is null or reason = ?14)
    and (?15 is null or error_class = ?15) and (?16 is null or fingerprint = ?16)
    and (?17 is null or created_at >= ?17) and (?18 is null or created_at < ?18)
    and (?19 is null or id = ?19 or json_extract(headers, '$."symphony-correlation-id"') = ?20)
    and (?21 is null or case when content_type = 'application/json' and json_valid(cast(body as text)) then
      case json_type(cast(body as text), ?21) when 'text' then json_extract(cast(body as text), ?21)
        when 'object' then null when 'array' then null when 'null' then null else cast(body as text) -> ?21 end = ?22 end)
  order by id desc limit ?7) m
