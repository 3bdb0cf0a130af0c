-- Deletes the schedules with the names $1, with their ticks.
with ticks as (delete from symphony.messenger_ticks where schedule_name = any ($1::text[]))
delete from symphony.messenger_schedules where name = any ($1)
