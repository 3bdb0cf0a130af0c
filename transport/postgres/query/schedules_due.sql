-- Locks the schedules that are due, $1 at most, the oldest tick first, but those that somebody else has locked, those of kind custom that are
-- not among $2, and those among $3, from the tick $4 on. With each, and alone when there is
-- none, come the clock, the next tick after it of any schedule, and those of its last messages
-- that live: + for one that a worker has had.
with c as materialized (select symphony.clock() as now),
s as materialized (
  select * from symphony.messenger_schedules s
  where s.enabled and s.next_run_at <= (select now from c) and s.next_run_at >= coalesce($4::timestamptz, '-infinity') and (s.kind <> 'custom' or s.name = any ($2::text[])) and s.name <> all ($3::text[])
  order by s.next_run_at limit $1::bigint for update skip locked)
select (select now from c), (select n.next_run_at from symphony.messenger_schedules n where n.enabled and n.next_run_at > (select now from c)
    and (n.kind <> 'custom' or n.name = any ($2::text[])) and n.name <> all ($3::text[]) order by n.next_run_at limit 1),
  s.name, s.owner, s.kind, s.expression, s.timezone, s.anchor_at, s.message_type, s.content_type, s.queue_name, s.stamps::text, s.body, s.missed,
  (extract(epoch from s.missed_window) * 1000)::bigint, s.overlap, (extract(epoch from s.jitter) * 1000)::bigint, s.from_at, s.until_at, s.excluded::text, s.max_runs,
  s.enabled, s.next_run_at, s.last_tick_at, s.last_run_at, s.run_count, s.missed_count, s.skipped_count, array_to_string(s.last_messages, ','), s.last_error, s.declared,
  s.edited_at, s.dropped_at, s.created_at, s.updated_at,
  case when s.overlap <> 'allow' then (
    select string_agg(m.id::text || case when m.fence > 0 then '+' else '-' end, ',') from symphony.messenger_messages m where m.id = any (s.last_messages)) end
from (select 1) one left join s on true order by s.next_run_at
