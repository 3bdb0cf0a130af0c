-- Schedules, and what became of their ticks.

create table symphony.messenger_schedules (
  name           text        collate "C" not null,
  owner          text        not null,
  next_run_at    timestamptz,
  last_tick_at   timestamptz,
  last_run_at    timestamptz,
  created_at     timestamptz not null default symphony.clock(),
  updated_at     timestamptz not null default symphony.clock(),
  edited_at      timestamptz,
  dropped_at     timestamptz,
  anchor_at      timestamptz,
  from_at        timestamptz,
  until_at       timestamptz,
  run_count      bigint      not null default 0,
  missed_count   bigint      not null default 0,
  skipped_count  bigint      not null default 0,
  max_runs       bigint      not null default 0 check (max_runs >= 0),
  missed_window  interval    not null default '0' check (missed_window >= '0'),
  jitter         interval    not null default '0' check (jitter between '0' and '24 hours'),
  enabled        boolean     not null default true,
  kind           text        collate "C" not null check (kind in ('once', 'cron', 'interval', 'custom')),
  missed         text        collate "C" not null default 'last' check (missed in ('skip', 'last', 'all')),
  overlap        text        collate "C" not null default 'allow' check (overlap in ('allow', 'skip', 'queue', 'cancel')),
  expression     text        not null check (octet_length(expression) between 1 and 255),
  timezone       text        not null default '',
  declared       text        not null default '',
  excluded       jsonb,
  last_messages  uuid[],
  last_error     text,
  queue_name     text        collate "C" not null default 'default',
  message_type   text        collate "C" not null,
  content_type   text        collate "C" not null default 'application/json',
  stamps         jsonb       not null default '{}',
  body           bytea       not null,
  constraint messenger_schedules_pkey primary key (name)
) with (
  fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0
);
create index messenger_schedules_next on symphony.messenger_schedules (next_run_at) where enabled;
comment on table symphony.messenger_schedules is 'Schedules: once, cron, interval, or a trigger in Go. Programs declare theirs; see messenger_schedules_summary for how they stand.';
comment on column symphony.messenger_schedules.name is 'Unique, whoever owns it.';
comment on column symphony.messenger_schedules.owner is 'The program that declares it.';
comment on column symphony.messenger_schedules.next_run_at is 'The next tick; null: there is none. To change it runs the schedule at that time once, out of turn.';
comment on column symphony.messenger_schedules.last_tick_at is 'The last tick that fired.';
comment on column symphony.messenger_schedules.last_run_at is 'When it last dispatched something, for a tick or because somebody asked for it.';
comment on column symphony.messenger_schedules.updated_at is 'When what it says was last changed.';
comment on column symphony.messenger_schedules.edited_at is 'Since when it differs by hand from what its owner declares.';
comment on column symphony.messenger_schedules.dropped_at is 'When its owner declared it no more.';
comment on column symphony.messenger_schedules.anchor_at is 'The first tick of an interval, from which all are counted; null: 1970.';
comment on column symphony.messenger_schedules.from_at is 'No tick before.';
comment on column symphony.messenger_schedules.until_at is 'No tick at or after.';
comment on column symphony.messenger_schedules.run_count is 'Ticks that fired.';
comment on column symphony.messenger_schedules.missed_count is 'Ticks that nobody could fire in time.';
comment on column symphony.messenger_schedules.skipped_count is 'Ticks that did not run because the message of one before still lived.';
comment on column symphony.messenger_schedules.max_runs is 'Ticks that fire, all in all; 0: no bound.';
comment on column symphony.messenger_schedules.missed_window is 'How late a run may be; 0: any time, and a minute when missed is skip.';
comment on column symphony.messenger_schedules.jitter is 'Each message is due up to that much after its tick.';
comment on column symphony.messenger_schedules.enabled is 'False: paused until somebody resumes it.';
comment on column symphony.messenger_schedules.kind is 'How expression is read.';
comment on column symphony.messenger_schedules.missed is 'Which missed runs are made up: none (skip), the last, or all.';
comment on column symphony.messenger_schedules.overlap is 'What happens while the message of a tick before lives.';
comment on column symphony.messenger_schedules.expression is 'A time, a cron expression, or a duration as Go writes it, such as 1h30m.';
comment on column symphony.messenger_schedules.timezone is 'Of a cron expression: an IANA name.';
comment on column symphony.messenger_schedules.declared is 'A fingerprint of what the owner declared last.';
comment on column symphony.messenger_schedules.excluded is 'Periods without ticks: [{"from": …, "until": …}].';
comment on column symphony.messenger_schedules.last_messages is 'The messages of its last run, and those before of which it knows that they lived then.';
comment on column symphony.messenger_schedules.last_error is 'Why it could not fire.';
comment on column symphony.messenger_schedules.stamps is 'What its messages get: priority, group, expires (ms), max_retries, headers, tags, version.';
comment on column symphony.messenger_schedules.body is 'Of its messages, the same at each tick.';
comment on index symphony.messenger_schedules_next is 'What runs next.';

create trigger messenger_schedules_touch before update of owner, anchor_at, from_at, until_at, max_runs, missed_window, jitter, enabled, kind, missed,
  overlap, expression, timezone, excluded, queue_name, message_type, content_type, stamps, body
  on symphony.messenger_schedules for each row execute function symphony.messenger_touch();
comment on trigger messenger_schedules_touch on symphony.messenger_schedules is 'Sets updated_at, when more changes than ticks do.';

-- What became of ticks. The primary key makes it impossible that one fires twice.
create table symphony.messenger_ticks (
  schedule_name text        collate "C" not null,
  tick_at       timestamptz not null,
  outcome       text        collate "C" not null check (outcome in ('fired', 'manual', 'missed', 'skipped')),
  recorded_at   timestamptz not null,
  until_at      timestamptz,
  runs          bigint      not null default 1,
  backfill      boolean     not null default false,
  message_ids   uuid[],
  constraint messenger_ticks_pkey primary key (schedule_name, tick_at, outcome)
) with (
  autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0
);
comment on table symphony.messenger_ticks is 'What became of the ticks of schedules, written in the transaction of the message. Of each schedule and outcome the last hundred or so are kept.';
comment on column symphony.messenger_ticks.schedule_name is 'messenger_schedules.name.';
comment on column symphony.messenger_ticks.tick_at is 'The time for which the run was planned; of one that somebody asked for, when.';
comment on column symphony.messenger_ticks.outcome is 'fired; manual: somebody asked for it; missed: nobody could fire it in time; skipped: because of an overlap.';
comment on column symphony.messenger_ticks.recorded_at is 'When it fired, or was found to be missed.';
comment on column symphony.messenger_ticks.until_at is 'Several ticks in a row were missed: the last of them.';
comment on column symphony.messenger_ticks.runs is 'How many ticks these are.';
comment on column symphony.messenger_ticks.backfill is 'Somebody asked for it afterwards.';
comment on column symphony.messenger_ticks.message_ids is 'Its messages: for the handler and each subscriber.';

create view symphony.messenger_schedules_summary as
select s.name, s.owner, s.kind, s.expression, s.timezone, s.queue_name, s.message_type, s.enabled,
  case when s.dropped_at is not null then 'dropped' when not s.enabled then 'paused' when s.next_run_at is null then 'ended' else 'active' end as state,
  s.next_run_at, s.last_tick_at, s.last_run_at, s.run_count, s.max_runs, s.missed_count, s.skipped_count, s.missed, s.overlap,
  case when s.enabled and s.next_run_at is not null then greatest(symphony.clock() - s.next_run_at, interval '0') end as lag,
  (select t.recorded_at - t.tick_at from symphony.messenger_ticks t
    where t.schedule_name = s.name and t.tick_at = s.last_tick_at and t.outcome = 'fired') as last_lag,
  s.last_messages[cardinality(s.last_messages)] as last_message_id,
  (select o.status from symphony.messenger_overview o where o.id = s.last_messages[cardinality(s.last_messages)] limit 1) as last_message_status,
  s.last_error, s.edited_at
from symphony.messenger_schedules s;
comment on view symphony.messenger_schedules_summary is 'How schedules stand: lag is how long the next tick has been due, last_lag how late the last one fired, and last_message_id the message it made last.';

-- messenger_cancel_previous cancels messages of ticks before. One that somebody else is about to end or to complete is not waited
-- for long: whoever fires schedules must not be held up by a transaction of a handler's.
create function symphony.messenger_cancel_previous(_ids uuid[], _history text, _transport text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  _id uuid;
  _cancelled integer := 0;
begin
  for _id in select distinct i from unnest(_ids) i order by 1 loop
    begin
      perform from symphony.messenger_messages m where m.id = _id for update nowait;
      if symphony.messenger_cancel(_id, _history, _transport) is not null then
        _cancelled := _cancelled + 1;
      end if;
    exception when lock_not_available then
      null;
    end;
  end loop;
  return _cancelled;
end $$;
comment on function symphony.messenger_cancel_previous(uuid[], text, text) is 'Cancels the messages of ticks before, as far as nobody has locked them; returns how many.';
