-- Takes the keys of dead letters $1 again, for as long as they live: a window that is not over yet goes on. Answers which of them have passed to
-- other messages: the dead letter, its key, and who has it (null: one that took it after this statement began). In the order of the keys, as in messenger_accept.
with dead as materialized (
  select f.id, f.message_type, f.subscriber, f.idempotency_key, sha256(f.body) as hash
  from symphony.messenger_failed_messages f where f.id = any ($1::uuid[]) and f.idempotency_key is not null
  order by 2, 3, 4, f.seq),
kept as (
  insert into symphony.messenger_keys as k (message_type, subscriber, key, message_id, expires_at, body_hash)
  select distinct on (message_type, subscriber, idempotency_key) message_type, subscriber, idempotency_key, id, symphony.clock(), hash from dead
  order by 1, 2, 3
  on conflict (message_type, subscriber, key) do update set live = true, message_id = excluded.message_id, body_hash = excluded.body_hash,
    expires_at = case when k.message_id = excluded.message_id then k.expires_at else excluded.expires_at end
    where k.message_id = excluded.message_id or not k.live and k.expires_at <= excluded.expires_at
  returning k.message_type, k.subscriber, k.key, k.message_id)
select d.id, d.idempotency_key, (coalesce(k.message_id,
  (select o.message_id from symphony.messenger_keys o where o.message_type = d.message_type and o.subscriber = d.subscriber and o.key = d.idempotency_key)))::text
from dead d left join kept k on k.message_type = d.message_type and k.subscriber = d.subscriber and k.key = d.idempotency_key
where k.message_id is distinct from d.id
