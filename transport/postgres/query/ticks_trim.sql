-- Deletes the ticks of the schedules $1 but the last $2 of each outcome.
delete from symphony.messenger_ticks t
using unnest($1::text[], $2::bigint[]) as s(name, keep) cross join unnest(array['fired', 'manual', 'missed', 'skipped']) as o(outcome)
where t.schedule_name = s.name and t.outcome = o.outcome and t.tick_at < (
  select k.tick_at from symphony.messenger_ticks k where k.schedule_name = s.name and k.outcome = o.outcome
  order by k.tick_at desc offset s.keep - 1 limit 1)
