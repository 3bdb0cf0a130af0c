-- Makes waiting messages $1 due at $2 or, when that is not 0, after $3 milliseconds. One that has its group's turn keeps it.
with held as materialized (
  select m.id, m.queue_name, m.message_type, m.status, m.waiting_for, m.group_key from symphony.messenger_messages m
  where m.id = any ($1::uuid[]) and m.token is null order by m.id for update),
fates as materialized (
  select h.*, c.due, (case when c.due > c.now then 'scheduled' else 'pending' end)::symphony.messenger_status as becomes,
    case when c.due <= c.now and h.group_key is not null and not exists (select from symphony.messenger_groups g
      where g.queue_name = h.queue_name and g.group_key = h.group_key and g.holder = h.id) then 'group' end as waits
  from held h, (
    select c.now, case when $3::bigint > 0 then c.now + $3 * interval '1 millisecond' else greatest($2::timestamptz, c.now) end as due
    from (select symphony.clock() as now offset 0) c) c),
moved as (
  update symphony.messenger_messages m set available_at = f.due, status = f.becomes, waiting_for = f.waits
  from fates f where m.id = f.id and m.id = any ($1) returning m.id),
woken as (
  insert into symphony.messenger_group_wakes (queue_name, group_key) select distinct queue_name, group_key from fates where waits = 'group'),
counted as (
  insert into symphony.messenger_stats_deltas (queue_name, message_type, due, scheduled, no_handler)
  select queue_name, message_type, sum((becomes = 'pending')::int - (status = 'pending')::int), sum((becomes = 'scheduled')::int - (status = 'scheduled')::int),
    -count(*) filter (where waiting_for = 'handler')
  from fates group by 1, 2)
select id::text from moved
