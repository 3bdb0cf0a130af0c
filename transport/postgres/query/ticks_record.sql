-- Records what became of ticks at $1, and answers which of them were not there before.
insert into symphony.messenger_ticks (schedule_name, tick_at, outcome, recorded_at, until_at, runs, backfill, message_ids)
select t.name, t.tick_at, t.outcome, $1::timestamptz, t.until_at, t.runs, t.backfill, t.message_ids::uuid[]
from unnest($2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::bigint[], $7::boolean[], $8::text[])
  as t(name, tick_at, outcome, until_at, runs, backfill, message_ids)
on conflict do nothing
returning schedule_name, tick_at, outcome
