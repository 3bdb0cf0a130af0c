-- A portion of all messages with IDs between $1 and $2, the latest first, or the oldest by way of search.Oldest: $3 of them are read at most, of the live ones ($4), the
-- dead letters ($5) and the ended ones ($6, kept for $7 milliseconds). Answers in each row how many were read and the last of them, and
-- those that match, $8 at most: 1, 2 or 3 says where they are. The conditions, null for none: $9 states, $10 queue, $11 type,
-- $12 subscriber, $13 tag, $14 part of the error, $15 reason, $16 class, $17 fingerprint, $18 since, $19 until, $20 first of the
-- conversation, $21 path and $22 value in the body.
with found as materialized (
  select * from (
    (select m.id, 1 as place, m.status::text as status, m.queue_name, m.message_type, m.subscriber, m.created_at, m.last_error as error, m.error_class,
      null as reason, null as fingerprint, m.tags, m.headers, m.content_type, case when $21::text[] is not null then m.body end as body
    from symphony.messenger_messages m where $4::boolean and m.id > $1::uuid and m.id < $2::uuid order by m.id desc limit $3::integer)
    union all
    (select f.id, 2, 'failed', f.queue_name, f.message_type, f.subscriber, f.created_at, f.error, f.error_class,
      f.reason, f.fingerprint, f.tags, f.headers, f.content_type, case when $21::text[] is not null then f.body end
    from symphony.messenger_failed_messages f where $5::boolean and f.id > $1 and f.id < $2 order by f.id desc limit $3)
    union all
    (select h.id, 3, h.status::text, h.queue_name, h.message_type, h.subscriber, h.created_at, h.last_error, h.error_class,
      null, null, h.tags, h.headers, h.content_type, case when $21::text[] is not null then h.body end
    from symphony.messenger_history h
    where $6::boolean and h.id > $1 and h.id < $2 and h.finished_at > (select symphony.clock()) - $7::bigint * interval '1 millisecond'
    order by h.id desc limit $3)
  ) u order by u.id desc limit $3)
select a.n, a.last, m.id, m.place
from (select count(*)::integer as n, (select f.id from found f order by f.id asc limit 1) as last from found) a
left join lateral (
  select f.id, f.place from found f
  where ($9::text[] is null or f.status = any ($9)) and ($10::text is null or f.queue_name = $10) and ($11::text is null or f.message_type = $11)
    and ($12::text is null or f.subscriber = $12) and ($13::text is null or $13 = any (f.tags))
    and ($14::text is null or strpos(lower(f.error), lower($14)) > 0) and ($15::text is null or f.reason = $15)
    and ($16::text is null or f.error_class = $16) and ($17::text is null or f.fingerprint = $17)
    and ($18::timestamptz is null or f.created_at >= $18) and ($19::timestamptz is null or f.created_at < $19)
    and ($20::uuid is null or f.id = $20 or f.headers ->> 'symphony-correlation-id' = $20::text)
    and ($21::text[] is null or symphony.messenger_body_is(f.content_type, f.body, $21, $22::text))
  order by f.id desc limit $8::integer) m on true
