-- Adds or replaces subscriptions and notes that they were seen now. Senders learn of it by the number, only if something has changed.
with given as (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]::jsonb[], $5::text[]) as g(message_type, subscriber, queue_name, stamps, owner)),
changed as (
  select g.message_type from given g left join symphony.messenger_subscriptions s on s.message_type = g.message_type and s.subscriber = g.subscriber
  where s.stamps is distinct from g.stamps),
counted as (
  update symphony.messenger_state set number = number + 1 where name = 'subscriptions' and exists (select from changed))
insert into symphony.messenger_subscriptions as s (message_type, subscriber, queue_name, stamps, owner, created_at, last_seen)
select g.message_type, g.subscriber, g.queue_name, g.stamps, g.owner, c.now, c.now from given g, (select symphony.clock() as now) c order by 1, 2
on conflict (message_type, subscriber) do update
  set queue_name = excluded.queue_name, stamps = excluded.stamps, owner = excluded.owner, last_seen = excluded.last_seen
