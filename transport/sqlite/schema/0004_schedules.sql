-- Schedules, and what became of their ticks. All times are whole milliseconds since 1970 in UTC, all durations milliseconds.

create table messenger_schedules (
  name          text    primary key,                 -- unique, whoever owns it
  owner         text    not null,                    -- the program that declares it
  kind          text    not null check (kind in ('once', 'cron', 'interval', 'custom')),
  expression    text    not null,                    -- a time, a cron expression, or a duration as Go writes it
  timezone      text    not null default '',         -- of a cron expression: an IANA name
  anchor_at     integer,                             -- the first tick of an interval; null: 1970
  message_type  text    not null,
  content_type  text    not null default 'application/json',
  queue_name    text    not null default 'default',
  stamps        text    not null default '{}',       -- JSON: priority, group, expires, max_retries, headers, tags, version
  body          blob    not null,
  missed        text    not null default 'last' check (missed in ('skip', 'last', 'all')),
  missed_window integer not null default 0,          -- how late a run may be
  overlap       text    not null default 'allow' check (overlap in ('allow', 'skip', 'queue', 'cancel')),
  jitter        integer not null default 0,
  from_at       integer,
  until_at      integer,
  excluded      text,                                -- JSON: [{"from": …, "until": …}]
  max_runs      integer not null default 0,
  enabled       integer not null default 1,          -- 0: paused until somebody resumes it
  next_run_at   integer,                             -- the next tick; to change it runs the schedule at that time once, out of turn
  last_tick_at  integer,                             -- the last tick that fired
  last_run_at   integer,                             -- when it last dispatched something
  run_count     integer not null default 0,          -- ticks that fired
  missed_count  integer not null default 0,
  skipped_count integer not null default 0,
  last_messages text,                                -- JSON: ids of the messages of its last run, and those before that lived then
  last_error    text,                                -- why it could not fire
  declared      text    not null default '',         -- a fingerprint of what the owner declared last
  edited_at     integer,                             -- since when it differs by hand from that
  dropped_at    integer,                             -- when its owner declared it no more
  created_at    integer not null,
  updated_at    integer not null
) without rowid;
create index messenger_schedules_next on messenger_schedules (next_run_at) where enabled = 1;

-- What became of ticks. The primary key makes it impossible that one fires twice.
create table messenger_ticks (
  schedule_name text    not null,
  tick_at       integer not null,                    -- the time for which the run was planned
  outcome       text    not null check (outcome in ('fired', 'manual', 'missed', 'skipped')),
  recorded_at   integer not null,
  until_at      integer,                             -- several in a row were missed: the last of them
  runs          integer not null default 1,          -- how many ticks these are
  backfill      integer not null default 0,
  message_ids   text,                                -- JSON
  primary key (schedule_name, tick_at, outcome)
) without rowid;

create view messenger_schedules_summary as
select s.name, s.owner, s.kind, s.expression, s.timezone, s.queue_name, s.message_type, s.enabled,
  case when s.dropped_at is not null then 'dropped' when s.enabled = 0 then 'paused' when s.next_run_at is null then 'ended' else 'active' end as state,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.next_run_at / 1000.0, 'unixepoch') as next_run_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.last_tick_at / 1000.0, 'unixepoch') as last_tick_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.last_run_at / 1000.0, 'unixepoch') as last_run_at,
  s.run_count, s.max_runs, s.missed_count, s.skipped_count, s.missed, s.overlap,
  case when s.enabled = 1 and s.next_run_at is not null then max(unixepoch('subsec') - s.next_run_at / 1000.0, 0) end as lag, -- seconds
  (select (t.recorded_at - t.tick_at) / 1000.0 from messenger_ticks t
    where t.schedule_name = s.name and t.tick_at = s.last_tick_at and t.outcome = 'fired') as last_lag,
  s.last_messages ->> '$[#-1]' as last_message_id, s.last_error,
  strftime('%Y-%m-%dT%H:%M:%fZ', s.edited_at / 1000.0, 'unixepoch') as edited_at
from messenger_schedules s;
