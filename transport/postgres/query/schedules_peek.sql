-- The store's clock, and in how many milliseconds the next schedule is due, but those of kind custom that are not among $1 and those among $2, from the
-- tick $3 on.
select c.now, (select s.next_run_at from symphony.messenger_schedules s
  where s.enabled and s.next_run_at >= coalesce($3::timestamptz, '-infinity') and (s.kind <> 'custom' or s.name = any ($1::text[])) and s.name <> all ($2::text[])
  order by s.next_run_at limit 1)
from (select symphony.clock() as now) c
