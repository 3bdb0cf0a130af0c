-- Deletes the ticks of the schedule ?1 with the outcome ?2 but the last ?3.
delete from messenger_ticks where schedule_name = ?1 and outcome = ?2 and tick_at < (
  select tick_at from messenger_ticks where schedule_name = ?1 and outcome = ?2 order by tick_at desc limit 1 offset ?3 - 1)
