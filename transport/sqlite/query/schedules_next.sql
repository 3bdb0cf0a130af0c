-- The next tick after ?1 of any schedule, but those of kind custom that are not in ?2 and those in ?3.
select next_run_at from messenger_schedules
where enabled = 1 and next_run_at > ?1 and (kind <> 'custom' or name in (select value from json_each(?2)))
  and name not in (select value from json_each(?3))
order by next_run_at limit 1
