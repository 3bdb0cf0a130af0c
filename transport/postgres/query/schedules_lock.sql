-- Locks the schedules with the names $1 and those of the owner $2. The first row has the clock and no schedule. Only where there is an owner
-- all schedules are read: an index of owners would cost each tick.
with named as materialized (
  select * from symphony.messenger_schedules s where $2::text = '' and s.name = any ($1::text[]) order by s.name for update),
owned as materialized (
  select * from symphony.messenger_schedules s where $2 <> '' and (s.owner = $2 or s.name = any ($1)) order by s.name for update),
s as (select * from named union all select * from owned)
select symphony.clock(), null::timestamptz,
  s.name, s.owner, s.kind, s.expression, s.timezone, s.anchor_at, s.message_type, s.content_type, s.queue_name, s.stamps::text, s.body, s.missed,
  (extract(epoch from s.missed_window) * 1000)::bigint, s.overlap, (extract(epoch from s.jitter) * 1000)::bigint, s.from_at, s.until_at, s.excluded::text, s.max_runs,
  s.enabled, s.next_run_at, s.last_tick_at, s.last_run_at, s.run_count, s.missed_count, s.skipped_count, array_to_string(s.last_messages, ','), s.last_error, s.declared,
  s.edited_at, s.dropped_at, s.created_at, s.updated_at,
  case when s.overlap <> 'allow' then (
    select string_agg(m.id::text || case when m.fence > 0 then '+' else '-' end, ',') from symphony.messenger_messages m where m.id = any (s.last_messages)) end
from (select 1) one left join s on true order by s.name
