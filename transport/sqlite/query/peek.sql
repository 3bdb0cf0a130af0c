-- is there something to claim, and when is there next? ?1 JSON array of queues
select
  exists (select 1 from json_each(?1) q where exists (
    select 1 from messenger_messages where queue_name = q.value and status = 'pending' and waiting_for is null)
    and not exists (select 1 from messenger_pauses p where p.kind = 'queue' and p.name = q.value))
  or exists (select 1 from messenger_pauses where resumed_at is not null),
  (select min(available_at) from messenger_messages where status = 'scheduled'),
  (select min(alive_until) from messenger_workers)
