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

-- messenger_replace does what a sender wants with messages that have his idempotency keys. One that waits gets the new content, and with debounce the
-- new time: replaced. One that is being handled loses its key, so that the new message can be stored: passed. One that has ended keeps
-- its key as long as that is taken: gone.
create function symphony.messenger_replace(_holders uuid[], _actions text[], _ats timestamptz[], _delays bigint[], _priorities smallint[], _max_retries bigint[],
  _headers jsonb[], _tags text[], _versions bigint[], _content_types text[], _bodies bytea[])
returns table (n integer, fate text)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _new record;
  _old record;
  _due timestamptz;
  _becomes symphony.messenger_status;
  _waits text;
begin
  for _new in
    select i.* from unnest(_holders, _actions, _ats, _delays, _priorities, _max_retries, _headers, _tags, _versions, _content_types, _bodies) with ordinality
      as i(holder, action, at, delay, priority, max_retries, headers, tags, version, content_type, body, n)
    order by i.holder, i.n
  loop
    n := _new.n;
    select m.token, m.status, m.waiting_for, m.queue_name, m.message_type, m.subscriber, m.group_key, m.idempotency_key into _old
      from symphony.messenger_messages m where m.id = _new.holder for update;
    if not found then
      fate := 'gone';
    elsif _old.token is not null then
      fate := 'passed';
      delete from symphony.messenger_keys k where k.message_type = _old.message_type and k.subscriber = _old.subscriber and k.key = _old.idempotency_key
        and k.message_id = _new.holder;
    else
      fate := 'replaced';
      update symphony.messenger_messages m set priority = _new.priority, max_retries = _new.max_retries, headers = _new.headers, tags = _new.tags::text[],
        version = _new.version, content_type = _new.content_type, body = _new.body
        where m.id = _new.holder;
      update symphony.messenger_keys k set body_hash = sha256(_new.body)
        where k.message_type = _old.message_type and k.subscriber = _old.subscriber and k.key = _old.idempotency_key and k.message_id = _new.holder;
      if _new.action = 'debounce' then
        _due := case when _new.delay > 0 then _now + _new.delay * interval '1 millisecond' else greatest(_new.at, _now) end;
        _becomes := case when _due > _now then 'scheduled' else 'pending' end;
        _waits := case when _due <= _now and _old.group_key is not null and not exists (select from symphony.messenger_groups g
          where g.queue_name = _old.queue_name and g.group_key = _old.group_key and g.holder = _new.holder) then 'group' end;
        update symphony.messenger_messages m set available_at = _due, scheduled_at = nullif(_due, _now), status = _becomes, waiting_for = _waits
          where m.id = _new.holder;
        if _waits is not null then
          insert into symphony.messenger_group_wakes (queue_name, group_key) values (_old.queue_name, _old.group_key);
        end if;
        insert into symphony.messenger_stats_deltas (queue_name, message_type, pending, scheduled, no_handler)
          values (_old.queue_name, _old.message_type, (_becomes = 'pending')::int - (_old.status = 'pending')::int,
            (_becomes = 'scheduled')::int - (_old.status = 'scheduled')::int, -(coalesce(_old.waiting_for, '') = 'handler')::int);
      end if;
    end if;
    return next;
  end loop;
end $$;
comment on function symphony.messenger_replace(uuid[], text[], timestamptz[], bigint[], smallint[], bigint[], jsonb[], text[], bigint[], text[], bytea[]) is
  'Gives messages that wait the content of others with the same idempotency keys; returns what became of each: replaced, passed or gone.';

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
