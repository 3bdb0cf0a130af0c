-- Writes what ticks change of schedules.
update symphony.messenger_schedules s set next_run_at = u.next_run_at, last_tick_at = u.last_tick_at, last_run_at = u.last_run_at, run_count = u.run_count,
  missed_count = u.missed_count, skipped_count = u.skipped_count, last_messages = u.last_messages::uuid[], last_error = u.last_error
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::text[])
  as u(name, next_run_at, last_tick_at, last_run_at, run_count, missed_count, skipped_count, last_messages, last_error)
where s.name = u.name
