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
begin
  -- As json and not as jsonb: numbers stay as they are written, and are never computed.
  return _content_type = 'application/json' and coalesce(convert_from(_body, 'UTF8')::json #>> _path = _value, false);
exception when others then
  return false; -- not text, or not JSON
end $$;
comment on function symphony.messenger_body_is(text, bytea, text[], text) is 'Whether a body is JSON and has a value at a path.';
