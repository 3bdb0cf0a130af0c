-- What people need to look at the queue and to repair it.

comment on column symphony.messenger_messages.waiting_for is
  'Why it cannot be claimed although it is pending (group, or paused: its type is), or why it is scheduled again (handler).';

-- Messages of a paused queue stay where they are: no claim looks there. Those of a paused type are among others, and are taken out of
-- the index that claims walk, in small steps, as they come near its begin.
create table symphony.messenger_pauses (
  kind       text        collate "C" not null check (kind in ('queue', 'type')),
  name       text        collate "C" not null,
  paused_at  timestamptz not null,
  paused_by  text        not null default '',
  resumed_at timestamptz,
  primary key (kind, name)
);
comment on table symphony.messenger_pauses is 'Queues and types that no worker takes messages of.';
comment on column symphony.messenger_pauses.kind is 'queue or type.';
comment on column symphony.messenger_pauses.paused_by is 'Who wanted it, for people.';
comment on column symphony.messenger_pauses.resumed_at is 'When the pause ended; its messages are being made claimable again.';

create index messenger_messages_paused on symphony.messenger_messages (message_type, seq) where waiting_for = 'paused';
comment on index symphony.messenger_messages_paused is 'What waits for its type to be resumed.';
insert into symphony.messenger_state (name) values ('pauses');
comment on column symphony.messenger_state.at is 'vacuum and pauses: when somebody began it last.';

create table symphony.messenger_minutes (
  at           timestamptz not null,
  queue_name   text        collate "C" not null,
  message_type text        collate "C" not null,
  completed    bigint      not null default 0,
  retried      bigint      not null default 0,
  failed       bigint      not null default 0,
  other        bigint      not null default 0,
  wait         bigint[]    not null default '{}',
  run          bigint[]    not null default '{}',
  primary key (at, queue_name, message_type)
) with (fillfactor = 50);
comment on table symphony.messenger_minutes is 'What workers did in each minute. They write what they did every two seconds; counts of messages are in messenger_counts.';
comment on column symphony.messenger_minutes.at is 'The begin of the minute.';
comment on column symphony.messenger_minutes.retried is 'Attempts that failed, and were to be repeated.';
comment on column symphony.messenger_minutes.failed is 'Attempts after which the message was a dead letter.';
comment on column symphony.messenger_minutes.other is 'Attempts that ended in any other way: snoozed, cancelled, put back.';
comment on column symphony.messenger_minutes.wait is
  'How many waited how long from being due to being claimed: below 128 microseconds, then four ranges for each doubling.';
comment on column symphony.messenger_minutes.run is 'How many ran how long, in the same ranges.';

create function symphony.messenger_add(_a bigint[], _b bigint[]) returns bigint[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(coalesce(x.a, 0) + coalesce(x.b, 0) order by x.n), '{}') from unnest(_a, _b) with ordinality as x(a, b, n)
$$;
comment on function symphony.messenger_add(bigint[], bigint[]) is 'Adds two arrays, element by element.';

create table symphony.messenger_bulks (
  id          uuid        not null primary key,
  state       text        collate "C" not null check (state in ('running', 'done', 'aborted')),
  document    jsonb       not null,
  holder      text        not null default '',
  held_until  timestamptz not null,
  aborted     boolean     not null default false,
  created_at  timestamptz not null,
  updated_at  timestamptz not null,
  finished_at timestamptz
);
comment on table symphony.messenger_bulks is 'Changes of many messages at once: what they do, and how far they are.';
comment on column symphony.messenger_bulks.document is 'The action, the messages it is about, and its progress.';
comment on column symphony.messenger_bulks.holder is 'Who runs it, until held_until.';
comment on column symphony.messenger_bulks.aborted is 'Somebody has asked whoever runs it to stop.';

create function symphony.messenger_body_is(_content_type text, _body bytea, _path text[], _value text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  _in json;
  _step text;
begin
  if _content_type <> 'application/json' then
    return false;
  end if;
  -- As json and not as jsonb: numbers stay as they are written, and are never computed.
  _in := convert_from(_body, 'UTF8')::json;
  foreach _step in array _path loop
    _in := case json_typeof(_in) when 'object' then _in -> _step
      when 'array' then case when left(_step, 1) = '[' then _in -> substr(_step, 2)::integer end end;
  end loop;
  return coalesce(json_typeof(_in) in ('string', 'number', 'boolean') and _in #>> '{}' = _value, false);
exception when others then
  return false; -- not text, or not JSON
end $$;
comment on function symphony.messenger_body_is(text, bytea, text[], text) is 'Whether a body is JSON and has a value at a path: names of members, and numbers of elements with [ before them.';

-- Views for people. What they show may be read by those who look.

create view symphony.messenger_paused as
select kind, name, paused_at, paused_by, resumed_at is not null as resuming from symphony.messenger_pauses;
comment on view symphony.messenger_paused is 'Queues and types that no worker takes messages of.';

create view symphony.messenger_rates as
select at, queue_name, message_type, completed, retried, failed, other from symphony.messenger_minutes;
comment on view symphony.messenger_rates is 'How many attempts ended how in each minute, as workers have written it; the last minute is not over.';

create view symphony.messenger_bulks_summary as
select id, document ->> 'action' as action, state, (document ->> 'done')::bigint as done, (document ->> 'refused')::bigint as refused,
  (document ->> 'at_most')::bigint as at_most, document ->> 'by' as by, created_at, updated_at, finished_at
from symphony.messenger_bulks;
comment on view symphony.messenger_bulks_summary is 'Changes of many messages at once, and how far they are.';
