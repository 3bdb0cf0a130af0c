-- Deletes dead letters $1 for good and frees their keys.
with gone as (
  delete from symphony.messenger_failed_messages f where f.id = any ($1::uuid[]) returning f.id, f.queue_name, f.message_type, f.subscriber, f.idempotency_key),
freed as (
  delete from symphony.messenger_keys k
  where k.ctid = any (array(select o.place from (select * from gone where idempotency_key is not null
      order by message_type, subscriber, idempotency_key) g cross join lateral (
      select k.ctid as place from symphony.messenger_keys k
      where k.message_type = g.message_type and k.subscriber = g.subscriber and k.key = g.idempotency_key and k.message_id = g.id
      limit 1 for update) o))
    and k.message_id = any ($1)),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, failed) select queue_name, message_type, -count(*) from gone group by 1, 2)
select id::text from gone
