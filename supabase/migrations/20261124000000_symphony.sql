-- Symphony Messenger: the steps 1 to 5 of schema symphony, and its roles. Made by
--   symphony migrate sql --supabase
-- for a project of the Supabase command line:
--   symphony migrate sql --supabase | supabase migration new symphony
-- and after an upgrade, with only what is new:
--   symphony migrate sql --supabase --after 5 | supabase migration new symphony_upgrade

-- Step 1: tables

do $$ begin
  if pg_catalog.to_regnamespace('"symphony"') is null then
    create schema "symphony";
  end if;
end $$;
create table if not exists symphony.messenger_migrations (
  version integer primary key, name text not null, applied_at timestamptz not null, oldest_compatible integer not null);
comment on table symphony.messenger_migrations is 'The steps that made this schema what it is.';
comment on column symphony.messenger_migrations.oldest_compatible is 'The oldest version of the program that works with the schema after this step.';

-- Messages, their ends, and what the queue needs to know about them. The schema has the name that the program was told to
-- use, which is symphony here.

-- The store's clock: every time, lease and window is read from it. It is inlined where it is used.
create function symphony.clock() returns timestamptz language sql volatile parallel safe
  as 'select pg_catalog.clock_timestamp()';
comment on function symphony.clock() is 'The clock by which messages are due, leases end and windows are over.';

create type symphony.messenger_status as enum ('pending', 'scheduled', 'processing', 'completed', 'failed', 'cancelled', 'expired');
comment on type symphony.messenger_status is 'The state of a message. The first three are live, the others ends.';

-- The hot table: live messages only. A claimed message stays here with its lease. Fixed lengths come
-- first, the body last, so that the columns before it are read without it.
create table symphony.messenger_messages (
  seq              bigint      not null generated always as identity,
  id               uuid        not null,
  created_at       timestamptz not null,
  available_at     timestamptz not null,
  fence            bigint      not null default 0,
  token            bigint,
  locked_by        bigint,
  locked_at        timestamptz,
  scheduled_at     timestamptz,
  expires_at       timestamptz,
  status           symphony.messenger_status not null,
  retry_count      integer     not null default 0,
  snooze_count     integer     not null default 0,
  crash_count      integer     not null default 0,
  unhandled_count  integer     not null default 0,
  version          bigint      not null default 0,
  max_retries      bigint      check (max_retries >= 0),
  priority         smallint    not null default 5 check (priority between 1 and 10),
  cancel_requested boolean     not null default false,
  queue_name       text        collate "C" not null,
  message_type     text        collate "C" not null,
  subscriber       text        collate "C" not null default '',
  content_type     text        collate "C" not null default 'application/json',
  waiting_for      text        collate "C",
  idempotency_key  text        collate "C" check (octet_length(idempotency_key) between 1 and 255),
  group_key        text        collate "C" check (octet_length(group_key) between 1 and 255),
  last_error       text,
  error_class      text,
  fingerprint      text        collate "C",
  attempts         jsonb,
  headers          jsonb,
  tags             text[],
  body             bytea       not null,
  constraint messenger_messages_pkey primary key (id)
) with (
  -- The workers vacuum this table themselves, every other second under load; this is for when they may not.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000
);
comment on table symphony.messenger_messages is 'Live messages: waiting, scheduled, or being handled. What has ended is in messenger_history or messenger_failed_messages.';
comment on column symphony.messenger_messages.seq is 'The order of acceptance; never used twice.';
comment on column symphony.messenger_messages.id is 'UUID, version 7, made by the sender: a send whose outcome is unknown can be repeated.';
comment on column symphony.messenger_messages.created_at is 'When the store accepted it.';
comment on column symphony.messenger_messages.available_at is 'When it is next due.';
comment on column symphony.messenger_messages.fence is 'Deliveries, ever growing.';
comment on column symphony.messenger_messages.token is 'The lease: a verdict must name it. Null when nobody has the message.';
comment on column symphony.messenger_messages.locked_by is 'The worker that has it: messenger_workers.worker, whose row has the end of the lease.';
comment on column symphony.messenger_messages.locked_at is 'When it was claimed.';
comment on column symphony.messenger_messages.scheduled_at is 'The time asked for, never changed; null: at once.';
comment on column symphony.messenger_messages.expires_at is 'No attempt starts later; null: never.';
comment on column symphony.messenger_messages.status is 'pending, scheduled or processing.';
comment on column symphony.messenger_messages.retry_count is 'Failures that led to another attempt.';
comment on column symphony.messenger_messages.snooze_count is 'How often its handler put it off, which counts as no attempt.';
comment on column symphony.messenger_messages.crash_count is 'Leases that ran out without a verdict.';
comment on column symphony.messenger_messages.unhandled_count is 'How often a worker had no handler for it.';
comment on column symphony.messenger_messages.version is 'Of the shape of the body; 0: unversioned.';
comment on column symphony.messenger_messages.max_retries is 'Null: the policy of the handler decides.';
comment on column symphony.messenger_messages.priority is '1 to 10, higher first, within its queue.';
comment on column symphony.messenger_messages.cancel_requested is 'Somebody cancelled it while it was handled; its worker learns that with its next heartbeat.';
comment on column symphony.messenger_messages.queue_name is 'Workers serve queues.';
comment on column symphony.messenger_messages.message_type is 'The name by which its handler is found.';
comment on column symphony.messenger_messages.subscriber is 'Whose copy it is; empty: the handler of the type.';
comment on column symphony.messenger_messages.content_type is 'Of the body.';
comment on column symphony.messenger_messages.waiting_for is 'Why it cannot be claimed although it is pending (group), or why it is scheduled again (handler).';
comment on column symphony.messenger_messages.idempotency_key is 'Unique together with type and subscriber: see messenger_keys.';
comment on column symphony.messenger_messages.group_key is 'Messages of one queue and group are handled one at a time, in order.';
comment on column symphony.messenger_messages.last_error is 'Of the last failed attempt.';
comment on column symphony.messenger_messages.error_class is 'The kind of that error.';
comment on column symphony.messenger_messages.fingerprint is 'Errors that are alike have the same.';
comment on column symphony.messenger_messages.attempts is 'The failed attempts, the first 2 and the last 8.';
comment on column symphony.messenger_messages.headers is 'Names and values that travel with the message.';
comment on column symphony.messenger_messages.tags is 'For finding it again.';
comment on column symphony.messenger_messages.body is 'The bytes that were sent, never re-encoded.';

-- Only what can be claimed now is in the index that claims walk; what waits for anything has one of its own.
create index messenger_messages_ready on symphony.messenger_messages (queue_name, priority, seq)
  where status = 'pending' and waiting_for is null;
create index messenger_messages_due on symphony.messenger_messages (available_at, seq) where status = 'scheduled';
create index messenger_messages_locked on symphony.messenger_messages (locked_by) where locked_by is not null;
create index messenger_messages_group on symphony.messenger_messages (queue_name, group_key, available_at, seq) where waiting_for = 'group';
create index messenger_messages_expiring on symphony.messenger_messages (expires_at)
  where expires_at is not null and token is null;
comment on index symphony.messenger_messages_ready is 'What can be claimed, in the order of the claims.';
comment on index symphony.messenger_messages_due is 'What is not due yet.';
comment on index symphony.messenger_messages_locked is 'What workers have.';
comment on index symphony.messenger_messages_group is 'What waits for another message of its group.';
comment on index symphony.messenger_messages_expiring is 'What may expire while it waits.';

-- The dead letter queue: the message whole, and why.
create table symphony.messenger_failed_messages (
  seq              bigint      not null generated by default as identity primary key,
  id               uuid        not null constraint messenger_failed_messages_id unique,
  failed_at        timestamptz not null,
  created_at       timestamptz not null,
  fence            bigint      not null,
  scheduled_at     timestamptz,
  expires_at       timestamptz,
  attempts         integer     not null,
  retry_count      integer     not null,
  snooze_count     integer     not null,
  crash_count      integer     not null,
  version          bigint      not null,
  max_retries      bigint,
  priority         smallint    not null,
  transport        text        not null default '',
  queue_name       text        collate "C" not null,
  message_type     text        collate "C" not null,
  subscriber       text        collate "C" not null default '',
  content_type     text        collate "C" not null,
  reason           text        collate "C" not null,
  error            text        not null,
  error_class      text        not null,
  error_trace      text,
  fingerprint      text        collate "C" not null,
  idempotency_key  text        collate "C",
  group_key        text        collate "C",
  attempt_log      jsonb,
  headers          jsonb,
  tags             text[],
  body             bytea       not null
);
create index messenger_failed_messages_fingerprint on symphony.messenger_failed_messages (fingerprint);
comment on table symphony.messenger_failed_messages is 'The dead letter queue: messages that failed for good, whole, until somebody retries or discards them.';
comment on column symphony.messenger_failed_messages.attempts is 'Failures.';
comment on column symphony.messenger_failed_messages.transport is 'The name of the transport that it failed on.';
comment on column symphony.messenger_failed_messages.reason is 'exhausted, permanent, deadline, crash_loop, unknown_type, undecodable or invalid.';
comment on column symphony.messenger_failed_messages.error_trace is 'The stack of a panic.';
comment on column symphony.messenger_failed_messages.fingerprint is 'SHA-256 of type, class and the text without what varies: dead letters that failed alike have the same.';
comment on column symphony.messenger_failed_messages.attempt_log is 'The failed attempts, the first 2 and the last 8.';
comment on index symphony.messenger_failed_messages_fingerprint is 'For groups of dead letters that failed alike.';

-- Ended messages for a while. Dropped by partition: a DELETE would cost as much as the work itself did.
create table symphony.messenger_history (
  finished_at      timestamptz not null,
  id               uuid        not null,
  created_at       timestamptz not null,
  available_at     timestamptz not null,
  fence            bigint      not null,
  locked_at        timestamptz,
  scheduled_at     timestamptz,
  expires_at       timestamptz,
  status           symphony.messenger_status not null,
  retry_count      integer     not null,
  snooze_count     integer     not null,
  crash_count      integer     not null,
  version          bigint      not null,
  max_retries      bigint,
  priority         smallint    not null,
  queue_name       text        collate "C" not null,
  message_type     text        collate "C" not null,
  subscriber       text        collate "C" not null,
  content_type     text        collate "C" not null,
  locked_by        text,
  idempotency_key  text        collate "C",
  group_key        text        collate "C",
  last_error       text,
  error_class      text,
  attempts         jsonb,
  headers          jsonb,
  tags             text[],
  body             bytea
) partition by range (finished_at);
create index messenger_history_id on symphony.messenger_history (id);
create table symphony.messenger_history_default partition of symphony.messenger_history default;
comment on table symphony.messenger_history is 'Messages that were completed, cancelled or expired, for as long as history is kept. Partitioned by the time of the end.';
comment on column symphony.messenger_history.locked_by is 'The worker of the last attempt.';
comment on column symphony.messenger_history.locked_at is 'When its last attempt was claimed.';
comment on column symphony.messenger_history.body is 'Null where history keeps no bodies.';
comment on index symphony.messenger_history_id is 'For finding one message.';
comment on table symphony.messenger_history_default is 'Ends for which no partition had been made yet.';

create table symphony.messenger_keys (
  message_type text        collate "C" not null,
  subscriber   text        collate "C" not null,
  key          text        collate "C" not null,
  message_id   uuid        not null,
  expires_at   timestamptz not null,
  live         boolean     not null default true,
  body_hash    bytea       not null,
  primary key (message_type, subscriber, key)
);
create index messenger_keys_expires on symphony.messenger_keys (expires_at);
comment on table symphony.messenger_keys is 'Idempotency keys: taken until expires_at, and while the message lives.';
comment on column symphony.messenger_keys.message_id is 'The message that has the key.';
comment on column symphony.messenger_keys.expires_at is 'The end of the window.';
comment on column symphony.messenger_keys.live is 'The message has not ended yet.';
comment on column symphony.messenger_keys.body_hash is 'SHA-256 of its body.';
comment on index symphony.messenger_keys_expires is 'For dropping keys whose windows are over.';

create table symphony.messenger_groups (
  queue_name text collate "C" not null,
  group_key  text collate "C" not null,
  holder     uuid not null,
  primary key (queue_name, group_key)
);
comment on table symphony.messenger_groups is 'The member of a group that may run, runs, or waits for its retry. The others wait for it.';
comment on column symphony.messenger_groups.holder is 'messenger_messages.id.';

-- A row for each time that a group may have a next member to run. They are made in the transaction that
-- lets it, and taken by whoever comes next: a sender never stands in the way of a verdict.
create table symphony.messenger_group_wakes (
  queue_name text collate "C" not null,
  group_key  text collate "C" not null
);
comment on table symphony.messenger_group_wakes is 'Groups that may have a next member to run.';

create table symphony.messenger_subscriptions (
  message_type text        collate "C" not null,
  subscriber   text        collate "C" not null,
  queue_name   text        collate "C",
  stamps       jsonb       not null default '{}',
  owner        text        not null default '',
  created_at   timestamptz not null,
  last_seen    timestamptz not null,
  primary key (message_type, subscriber)
);
comment on table symphony.messenger_subscriptions is 'Who handles what. The handler of a type has the subscriber ''''.';
comment on column symphony.messenger_subscriptions.queue_name is 'Where its copies go; null: where the message goes.';
comment on column symphony.messenger_subscriptions.stamps is 'What its copies get.';
comment on column symphony.messenger_subscriptions.owner is 'The program that subscribed.';
comment on column symphony.messenger_subscriptions.last_seen is 'When a worker of it last started.';

create table symphony.messenger_workers (
  worker      bigint      not null generated always as identity primary key,
  identity    text        not null constraint messenger_workers_identity unique,
  started_at  timestamptz not null,
  alive_until timestamptz not null,
  lease       interval    not null,
  queues      text[]      collate "C" not null default '{}'
) with (fillfactor = 50);
comment on table symphony.messenger_workers is 'Workers alive. The lease of everything that one holds ends at alive_until.';
comment on column symphony.messenger_workers.identity is 'Unique to one run of one worker.';
comment on column symphony.messenger_workers.lease is 'How long a heartbeat lasts.';
comment on column symphony.messenger_workers.queues is 'That it has asked for messages of.';

-- Counters are changed by adding rows, so that no two transactions wait for each other, and folded now and then.
create table symphony.messenger_stats (
  queue_name   text   collate "C" not null,
  message_type text   collate "C" not null,
  due          bigint not null default 0,
  scheduled    bigint not null default 0,
  completed    bigint not null default 0,
  failed       bigint not null default 0,
  cancelled    bigint not null default 0,
  expired      bigint not null default 0,
  no_handler   bigint not null default 0,
  primary key (queue_name, message_type)
) with (fillfactor = 50);
create table symphony.messenger_stats_deltas (
  at           timestamptz not null default pg_catalog.clock_timestamp(),
  due          integer     not null default 0,
  scheduled    integer     not null default 0,
  completed    integer     not null default 0,
  failed       integer     not null default 0,
  cancelled    integer     not null default 0,
  expired      integer     not null default 0,
  no_handler   integer     not null default 0,
  queue_name   text        collate "C" not null,
  message_type text        collate "C" not null
);
comment on table symphony.messenger_stats is 'How many messages are in each state; ends count for ever. Add messenger_stats_deltas, as messenger_counts does.';
comment on column symphony.messenger_stats.due is 'Pending or processing: a claim is not counted. messenger_counts tells them apart.';
comment on column symphony.messenger_stats.no_handler is 'Those of the scheduled ones that wait because a worker had no handler.';
comment on table symphony.messenger_stats_deltas is 'Changes of messenger_stats that are not folded into it yet, each written in the transaction of what it counts.';

create table symphony.messenger_state (
  name   text        collate "C" primary key,
  number bigint      not null default 0,
  at     timestamptz not null default '-infinity'
) with (fillfactor = 50);
insert into symphony.messenger_state (name, number) values ('subscriptions', 0), ('vacuum', 0), ('max_body', 262144);
comment on table symphony.messenger_state is 'What the processes that use the store must agree on.';
comment on column symphony.messenger_state.number is 'subscriptions: grows with every change of messenger_subscriptions. max_body: the largest body, in bytes, that the functions in SQL take.';
comment on column symphony.messenger_state.at is 'vacuum: when somebody began it last.';

create table symphony.messenger_transports (
  name       text        collate "C" primary key,
  type       text        not null,
  config     jsonb       not null default '{}',
  enabled    boolean     not null default true,
  created_at timestamptz not null default pg_catalog.now(),
  updated_at timestamptz not null default pg_catalog.now()
);
comment on table symphony.messenger_transports is 'Transports added at run time.';

create function symphony.messenger_touch() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end $$;
comment on function symphony.messenger_touch() is 'Sets updated_at.';
create trigger messenger_transports_touch before update on symphony.messenger_transports for each row execute function symphony.messenger_touch();
comment on trigger messenger_transports_touch on symphony.messenger_transports is 'Sets updated_at.';

insert into symphony.messenger_migrations (version, name, applied_at, oldest_compatible) values (1, 'tables', clock_timestamp(), 5);

-- Step 2: functions

do $$ begin
  if pg_catalog.to_regnamespace('"symphony"') is null then
    create schema "symphony";
  end if;
end $$;
create table if not exists symphony.messenger_migrations (
  version integer primary key, name text not null, applied_at timestamptz not null, oldest_compatible integer not null);
comment on table symphony.messenger_migrations is 'The steps that made this schema what it is.';
comment on column symphony.messenger_migrations.oldest_compatible is 'The oldest version of the program that works with the schema after this step.';

-- What happens to messages, apart from the three statements that carry the load (query/insert.sql, claim.sql
-- and done.sql). Go and SQL both come through here, so that a rule stands in one place.

create function symphony.messenger_log(log jsonb, attempt jsonb) returns jsonb
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select case when log is null then jsonb_build_array(attempt)
    when jsonb_array_length(log) >= 10 then (log - 2) || jsonb_build_array(attempt)
    else log || jsonb_build_array(attempt) end
$$;
comment on function symphony.messenger_log(jsonb, jsonb) is 'Adds a failed attempt and keeps the first 2 and the last 8.';

create function symphony.messenger_subscribed() returns table (number bigint, message_type text, stamps text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select st.number, s.message_type, s.stamps::text
  from symphony.messenger_state st left join symphony.messenger_subscriptions s on true
  where st.name = 'subscriptions' order by s.message_type, s.subscriber
$$;
comment on function symphony.messenger_subscribed() is 'All subscriptions, and the number of what they are now: one statement, both are of the same moment.';

-- messenger_accept stores messages, one for each element of its arrays. It returns those that were not
-- stored because another message has their key, and which. A message that is there already is no duplicate. Nothing is stored, and the
-- answer is one row of null, when the subscriptions are not those any more that the sender knows.
create function symphony.messenger_accept(_subscriptions bigint, _ids uuid[], _types text[], _subscribers text[], _queues text[], _priorities smallint[],
  _ats timestamptz[], _delays bigint[], _expiries bigint[], _max_retries bigint[], _keys text[], _windows bigint[], _groups text[],
  _headers jsonb[], _tags text[], _versions bigint[], _content_types text[], _bodies bytea[])
returns table (n integer, holder uuid)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _taken bigint[] := '{}';
  _row record;
  _holder uuid;
begin
  if _subscriptions <> (select s.number from symphony.messenger_state s where s.name = 'subscriptions') then
    n := 0;
    return next;
    return;
  end if;
  -- In the order of the keys, so that two who send the same ones do not wait for each other.
  for _row in
    select i.n, i.id, i.type, i.subscriber, i.key, i.lasts, i.body
    from unnest(_ids, _types, _subscribers, _keys, _windows, _bodies) with ordinality as i(id, type, subscriber, key, lasts, body, n)
    where i.key is not null order by i.type, i.subscriber, i.key, i.n
  loop
    loop
      -- A row that is still worth something is not touched: its lock would make the verdict on its message wait for
      -- this transaction, which may be a long one of the user's.
      delete from symphony.messenger_keys k where k.message_type = _row.type and k.subscriber = _row.subscriber and k.key = _row.key
        and not k.live and coalesce(k.expires_at, _now) <= _now; -- not by the index of times, which the planner may like better
      insert into symphony.messenger_keys (message_type, subscriber, key, message_id, expires_at, body_hash)
        values (_row.type, _row.subscriber, _row.key, _row.id, _now + _row.lasts * interval '1 millisecond', sha256(_row.body))
        on conflict do nothing;
      exit when found;
      select k.message_id into _holder from symphony.messenger_keys k
        where k.message_type = _row.type and k.subscriber = _row.subscriber and k.key = _row.key;
      if found then
        _taken := _taken || _row.n;
        if _holder <> _row.id then
          n := _row.n;
          holder := _holder;
          return next;
        end if;
        exit;
      end if;
    end loop;
  end loop;

  with sent as (
    insert into symphony.messenger_messages (id, queue_name, message_type, subscriber, status, waiting_for, priority, created_at, scheduled_at,
      available_at, expires_at, max_retries, idempotency_key, group_key, headers, tags, version, content_type, body)
    select i.id, i.queue, i.type, i.subscriber,
      (case when d.due > _now then 'scheduled' else 'pending' end)::symphony.messenger_status,
      case when i.grp is not null and d.due <= _now then 'group' end,
      i.priority, _now, case when i.delay > 0 then d.due else i.at end, d.due, _now + nullif(i.expiry, 0) * interval '1 millisecond',
      i.max_retries, i.key, i.grp, i.headers, i.tags::text[], i.version, i.content_type, i.body
    from unnest(_ids, _types, _subscribers, _queues, _priorities, _ats, _delays, _expiries, _max_retries, _keys, _groups, _headers, _tags,
        _versions, _content_types, _bodies) with ordinality
      as i(id, type, subscriber, queue, priority, at, delay, expiry, max_retries, key, grp, headers, tags, version, content_type, body, n)
    cross join lateral (select case when i.delay > 0 then _now + i.delay * interval '1 millisecond' else greatest(i.at, _now) end as due) d
    where i.n <> all (_taken)
    order by i.n
    on conflict (id) do nothing
    returning queue_name, message_type, group_key, status, waiting_for),
  woken as (
    insert into symphony.messenger_group_wakes (queue_name, group_key)
    select distinct queue_name, group_key from sent where waiting_for = 'group')
  insert into symphony.messenger_stats_deltas (queue_name, message_type, due, scheduled)
  select queue_name, message_type, count(*) filter (where status = 'pending'), count(*) filter (where status = 'scheduled')
  from sent group by 1, 2;
end $$;
comment on function symphony.messenger_accept(bigint, uuid[], text[], text[], text[], smallint[], timestamptz[], bigint[], bigint[], bigint[], text[],
  bigint[], text[], jsonb[], text[], bigint[], text[], bytea[]) is 'Stores messages; returns those whose idempotency key another message has.';

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
        insert into symphony.messenger_stats_deltas (queue_name, message_type, due, scheduled, no_handler)
          values (_old.queue_name, _old.message_type, (_becomes = 'pending')::int - (_old.status = 'pending')::int,
            (_becomes = 'scheduled')::int - (_old.status = 'scheduled')::int, -(coalesce(_old.waiting_for, '') = 'handler')::int);
      end if;
    end if;
    return next;
  end loop;
end $$;
comment on function symphony.messenger_replace(uuid[], text[], timestamptz[], bigint[], smallint[], bigint[], jsonb[], text[], bigint[], text[], bytea[]) is
  'Gives messages that wait the content of others with the same idempotency keys; returns what became of each: replaced, passed or gone.';

-- messenger_settle applies verdicts, and returns the numbers of those that it could apply: the others came too
-- late. A verdict on a message that nobody has, such as that of somebody who cancels it, has no token. It waits 2 s for
-- a transaction in which the handler completes the message.
create function symphony.messenger_settle(_ids uuid[], _tokens bigint[], _outcomes text[], _afters bigint[], _reasons text[],
  _errors text[], _classes text[], _traces text[], _shapes text[], _history text, _transport text)
returns table (n integer, fate text)
language plpgsql
-- Its plans must be good in the sessions of callers too, whatever the tables looked like when they were made. What is off makes
-- the others look so dear that they would be compiled.
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_nestloop = off set jit = off as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
begin
  return query
  with given as materialized (
    select v.*, v.after * interval '1 millisecond' as wait
    from unnest(_ids, _tokens, _outcomes, _afters, _reasons, _errors, _classes, _traces, _shapes) with ordinality
      as v(id, token, outcome, after, reason, error, class, trace, shape, n)),
  -- Locked first: what becomes of a message depends on it, and somebody may be about to mark it as cancelled.
  held as materialized (
    select m.id, m.queue_name, m.message_type, m.subscriber, m.status, m.waiting_for, m.retry_count, m.expires_at, m.cancel_requested,
      m.idempotency_key, m.group_key, m.last_error, m.error_class, m.fingerprint, m.attempts, m.locked_by, g.n, g.outcome, g.wait,
      g.reason, g.error, g.class, g.trace, g.shape
    from given g join symphony.messenger_messages m on m.id = g.id and m.token is not distinct from g.token
    where m.id = any (_ids)
    order by m.id for update of m),
  fates as materialized (
    select h.*,
      case when h.outcome = 'failed' and h.reason in ('crash_loop', 'unknown_type') or h.error is null then 0 else 1 end as failures,
      case
        when h.outcome = 'completed' then 'completed'
        when h.outcome = 'expired' then case when h.retry_count > 0 then 'failed' else 'expired' end
        when h.outcome = 'cancelled' or h.cancel_requested then 'cancelled'
        when h.outcome = 'failed' then 'failed'
        when h.outcome in ('retried', 'snoozed') and _now + h.wait >= h.expires_at then
          case when h.error is not null or h.retry_count > 0 then 'failed' else 'expired' end
        else 'again'
      end as fate
    from held h),
  ends as materialized (
    select f.*, w.identity,
      case when f.fate <> 'again' then f.fate when f.wait > interval '0' then 'scheduled' else 'pending' end::symphony.messenger_status as becomes,
      case when f.error is not null and (f.fate in ('again', 'cancelled') or f.fate = 'failed' and f.failures > 0)
        then symphony.messenger_log(f.attempts, jsonb_strip_nulls(jsonb_build_object('attempt', f.retry_count + 1, 'at', _now, 'worker', w.identity,
          'error', f.error, 'class', f.class, 'trace', nullif(f.trace, ''))))
        else f.attempts end as log,
      case when f.shape is null then f.fingerprint
        else encode(sha256(convert_to(f.message_type, 'UTF8') || decode('00', 'hex') || convert_to(f.class, 'UTF8') || decode('00', 'hex') ||
          convert_to(f.shape, 'UTF8')), 'hex') end as print
    from fates f left join symphony.messenger_workers w on w.worker = f.locked_by),
  again as (
    update symphony.messenger_messages m set status = e.becomes, token = null, locked_by = null, locked_at = null,
      available_at = case when e.becomes = 'scheduled' then _now + e.wait else m.available_at end,
      retry_count = m.retry_count + (e.outcome = 'retried')::int,
      snooze_count = m.snooze_count + (e.outcome = 'snoozed')::int,
      unhandled_count = m.unhandled_count + (e.outcome = 'unhandled')::int,
      waiting_for = case when e.outcome = 'unhandled' and e.becomes = 'scheduled' then 'handler' end,
      last_error = coalesce(e.error, m.last_error), error_class = coalesce(e.class, m.error_class), fingerprint = e.print, attempts = e.log
    from ends e where e.fate = 'again' and m.id = e.id and m.id = any (_ids)),
  gone as (
    delete from symphony.messenger_messages m using ends e where e.fate <> 'again' and m.id = e.id and m.id = any (_ids)
    returning m.*, e.n, e.fate as fate, e.outcome, e.identity, e.reason, e.error, e.class, e.trace, e.failures, e.log, e.print),
  dead as (
    insert into symphony.messenger_failed_messages as old (id, failed_at, created_at, fence, scheduled_at, expires_at, attempts, retry_count,
      snooze_count, crash_count, version, max_retries, priority, transport, queue_name, message_type, subscriber, content_type, reason, error,
      error_class, error_trace, fingerprint, idempotency_key, group_key, attempt_log, headers, tags, body)
    select id, _now, created_at, fence, scheduled_at, expires_at, retry_count + failures, retry_count,
      snooze_count, crash_count, version, max_retries, priority, _transport, queue_name, message_type, subscriber, content_type,
      case when outcome = 'failed' then reason else 'deadline' end,
      coalesce(error, last_error, reason, ''), coalesce(class, error_class, 'error'), nullif(trace, ''), coalesce(print, ''),
      idempotency_key, group_key, log, headers, tags, body
    from gone where fate = 'failed'
    -- One that was sent again after its end may fail again: the later failure counts.
    on conflict (id) do update set seq = excluded.seq, failed_at = excluded.failed_at, created_at = excluded.created_at,
      fence = excluded.fence, scheduled_at = excluded.scheduled_at, expires_at = excluded.expires_at, attempts = excluded.attempts,
      retry_count = excluded.retry_count, snooze_count = excluded.snooze_count, crash_count = excluded.crash_count,
      version = excluded.version, max_retries = excluded.max_retries, priority = excluded.priority, transport = excluded.transport,
      queue_name = excluded.queue_name, message_type = excluded.message_type, subscriber = excluded.subscriber,
      content_type = excluded.content_type, reason = excluded.reason, error = excluded.error, error_class = excluded.error_class,
      error_trace = excluded.error_trace, fingerprint = excluded.fingerprint, idempotency_key = excluded.idempotency_key,
      group_key = excluded.group_key, attempt_log = excluded.attempt_log, headers = excluded.headers, tags = excluded.tags, body = excluded.body
    returning queue_name, message_type, (old.xmax <> 0) as replaced),
  ended as (
    insert into symphony.messenger_history (finished_at, id, created_at, available_at, fence, locked_at, scheduled_at, expires_at, status,
      retry_count, snooze_count, crash_count, version, max_retries, priority, queue_name, message_type, subscriber, content_type, locked_by,
      idempotency_key, group_key, last_error, error_class, attempts, headers, tags, body)
    select _now, id, created_at, available_at, fence, locked_at, scheduled_at, expires_at, fate::symphony.messenger_status,
      retry_count, snooze_count, crash_count, version, max_retries, priority, queue_name, message_type, subscriber, content_type, identity,
      idempotency_key, group_key, coalesce(error, last_error), coalesce(class, error_class), log, headers, tags,
      case when _history <> 'meta' then body end
    from gone where fate <> 'failed' and (_history <> 'off' or fate <> 'completed')),
  released as (
    update symphony.messenger_keys k set live = false
    -- Locked in the order of the keys, as everywhere.
    where k.ctid = any (array(select o.place from (select * from gone where idempotency_key is not null
        order by message_type, subscriber, idempotency_key) g cross join lateral (
        select k.ctid as place from symphony.messenger_keys k
        where k.message_type = g.message_type and k.subscriber = g.subscriber and k.key = g.idempotency_key and k.message_id = g.id
        limit 1 for update) o))
      and k.message_id = any (_ids)),
  freed as (
    delete from symphony.messenger_groups l
    where l.ctid = any (array(select o.place from gone g cross join lateral (
        select l.ctid as place from symphony.messenger_groups l
        where l.queue_name = g.queue_name and l.group_key = g.group_key and l.holder = g.id limit 1) o
      where g.group_key is not null))
      and l.holder = any (_ids)
    returning l.queue_name, l.group_key),
  woken as (
    insert into symphony.messenger_group_wakes (queue_name, group_key) select queue_name, group_key from freed),
  moved as (
    select queue_name, message_type, status, -1 as n, -(coalesce(waiting_for, '') = 'handler')::int as handler from ends
    union all
    select queue_name, message_type, becomes, 1, (outcome = 'unhandled' and becomes = 'scheduled')::int from ends
    union all
    select queue_name, message_type, 'failed', -1, 0 from dead where replaced),
  counted as (
    insert into symphony.messenger_stats_deltas (queue_name, message_type, due, scheduled, completed, failed, cancelled, expired, no_handler)
    select queue_name, message_type,
      coalesce(sum(m.n) filter (where status in ('pending', 'processing')), 0), coalesce(sum(m.n) filter (where status = 'scheduled'), 0),
      coalesce(sum(m.n) filter (where status = 'completed'), 0),
      coalesce(sum(m.n) filter (where status = 'failed'), 0), coalesce(sum(m.n) filter (where status = 'cancelled'), 0),
      coalesce(sum(m.n) filter (where status = 'expired'), 0), sum(m.handler)
    from moved m group by 1, 2)
  select e.n::integer, e.fate from ends e;
end $$;
comment on function symphony.messenger_settle(uuid[], bigint[], text[], bigint[], text[], text[], text[], text[], text[], text, text) is
  'Applies the verdicts of workers; returns the numbers of those that did not come too late.';

-- messenger_promote makes messages claimable that have become due, _most at a time. Members of a group that another one
-- holds go on waiting for that; the next of a group is chosen only when nobody is left who became due before it.
create function symphony.messenger_promote(_most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _promoted integer;
begin
  with found as materialized (
    select d.ctid as place, d.id, d.waiting_for from symphony.messenger_messages d where d.status = 'scheduled' and d.available_at <= _now
    order by d.available_at, d.seq limit _most for update skip locked),
  due as (
    update symphony.messenger_messages m set status = 'pending',
      waiting_for = case when m.group_key is not null and not exists (select from symphony.messenger_groups g
        where g.queue_name = m.queue_name and g.group_key = m.group_key and g.holder = m.id) then 'group' end
    where m.ctid = any (array(select place from found))
    returning m.id, m.queue_name, m.message_type, m.group_key, m.waiting_for),
  woken as (
    insert into symphony.messenger_group_wakes (queue_name, group_key)
    select distinct queue_name, group_key from due where waiting_for = 'group'),
  counted as (
    insert into symphony.messenger_stats_deltas (queue_name, message_type, scheduled, due, no_handler)
    select d.queue_name, d.message_type, -count(*), count(*), -count(*) filter (where f.waiting_for = 'handler')
    from due d join found f on f.id = d.id group by 1, 2)
  select count(*) into _promoted from due;
  return _promoted;
end $$;
comment on function symphony.messenger_promote(integer) is 'Makes messages claimable that have become due; returns how many.';

-- messenger_advance lets the next member of each group run that has been woken. A group is passed over while its holder is
-- visible: whoever completes that in a transaction of his own is not waited for, and wakes the group again. So it is while a member has become
-- due and is not promoted: somebody has its row locked, perhaps to promote it, and it may come before the others.
create function symphony.messenger_advance(_most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _late text[];
  _n integer;
  _advanced integer;
begin
  select array_agg(group_key) filter (where group_key is not null), count(*) into _late, _n from (
    select m.group_key from symphony.messenger_messages m where m.status = 'scheduled' and m.available_at <= _now
    order by m.available_at, m.seq limit 2001) m;
  if _n > 2000 then
    return 0; -- first they are promoted
  end if;
  with woken as (
    delete from symphony.messenger_group_wakes where ctid = any (array(
      select w.ctid from symphony.messenger_group_wakes w where _late is null or w.group_key <> all (_late) limit _most for update skip locked))
    returning queue_name, group_key),
  free as materialized (
    select distinct w.queue_name, w.group_key from woken w
    where not exists (select from symphony.messenger_groups g where g.queue_name = w.queue_name and g.group_key = w.group_key)
    order by 1, 2),
  heads as materialized (
    select f.queue_name, f.group_key, h.id from free f cross join lateral (
      select m.id from symphony.messenger_messages m
      where m.queue_name = f.queue_name and m.group_key = f.group_key and m.waiting_for = 'group'
      order by m.available_at, m.seq limit 1 for update) h),
  holders as (
    insert into symphony.messenger_groups (queue_name, group_key, holder) select queue_name, group_key, id from heads
    on conflict do nothing returning holder),
  ready as (
    update symphony.messenger_messages m set waiting_for = null from holders h where m.id = h.holder returning m.id)
  select count(*) into _advanced from ready;
  return _advanced;
end $$;
comment on function symphony.messenger_advance(integer) is 'Lets the next members of groups run; returns how many.';

create function symphony.messenger_take_back(_worker bigint, _history text, _transport text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _back integer;
  _cancelled uuid[];
begin
  with back as (
    update symphony.messenger_messages set status = 'pending', crash_count = crash_count + 1, token = null, locked_by = null, locked_at = null
    where ctid = any (array(select ctid from symphony.messenger_messages where locked_by = _worker for update skip locked))
    returning id, cancel_requested)
  select count(*), array_agg(id) filter (where cancel_requested) into _back, _cancelled from back;
  if _cancelled is not null then
    perform symphony.messenger_end(_cancelled, 'cancelled', _history, _transport);
  end if;
  return _back;
end $$;
comment on function symphony.messenger_take_back(bigint, text, text) is 'Takes back the messages of one worker, and counts a crash of each; returns how many.';

-- messenger_sweep takes back what workers held whose leases ran out, but for what somebody completes in an open transaction: the machine of
-- that may be gone, and nobody must wait until the server knows. A worker that claims at this moment for the first time after a pause
-- holds its own row, and is alive. With _all it also takes back what workers have that are not known any more: those
-- whose claim took longer than a lease.
create function symphony.messenger_sweep(_history text, _transport text, _all boolean default false) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _worker bigint;
  _back integer := 0;
begin
  for _worker in
    select w.worker from symphony.messenger_workers w where w.alive_until <= symphony.clock() order by 1 for update skip locked
  loop
    _back := _back + symphony.messenger_take_back(_worker, _history, _transport);
    if exists (select from symphony.messenger_messages where locked_by = _worker) then
      update symphony.messenger_workers set alive_until = symphony.clock() + interval '1 second' where worker = _worker;
    else
      delete from symphony.messenger_workers where worker = _worker;
    end if;
  end loop;
  if _all then
    for _worker in
      select distinct m.locked_by from symphony.messenger_messages m where m.locked_by is not null
        and not exists (select from symphony.messenger_workers w where w.worker = m.locked_by)
    loop
      _back := _back + symphony.messenger_take_back(_worker, _history, _transport);
    end loop;
  end if;
  return _back;
end $$;
comment on function symphony.messenger_sweep(text, text, boolean) is 'Takes back the messages of workers whose leases ran out, and counts a crash of each; returns how many.';

create function symphony.messenger_end(_ids uuid[], _outcome text, _history text, _transport text) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
  select count(*)::integer from symphony.messenger_settle(_ids, array_fill(null::bigint, array[cardinality(_ids)]),
    array_fill(_outcome, array[cardinality(_ids)]), array_fill(0::bigint, array[cardinality(_ids)]), null, null, null, null, null, _history, _transport)
$$;
comment on function symphony.messenger_end(uuid[], text, text, text) is 'Ends messages that nobody has as cancelled or expired; returns how many.';

-- messenger_partition makes the partitions of the history that will be needed next, drops those that are older than
-- it is kept, and returns how many rows there still are to delete of what had no partition. It runs as the owner of
-- the tables, because workers may not change them, and closes each partition to everybody else, as rights/rights.sql does with
-- those there are. Attaching takes a weaker lock than CREATE TABLE … PARTITION OF.
create function symphony.messenger_partition(_keep interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO' set lock_timeout = '1s' as $$
declare
  _now timestamptz := symphony.clock();
  _length interval := case when _keep > interval '3 days' then interval '1 day' else interval '1 hour' end;
  _end timestamptz;
  _part record;
  _grantee text;
  _rest integer;
begin
  if _keep is null or _keep < interval '1 hour' then
    raise exception using errcode = '22023', message = format('history kept for %s: must be an hour or more', coalesce(_keep::text, 'null'));
  end if;
  perform pg_advisory_xact_lock(hashtextextended('symphony.messenger_partition', 0));
  for _part in
    select c.relname, substring(pg_get_expr(c.relpartbound, c.oid) from $re$TO [(]'([^']+)'[)]$re$)::timestamptz as ends
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'symphony.messenger_history'::regclass and c.relname <> 'messenger_history_default' order by 2
  loop
    if _part.ends <= _now - _keep then
      execute format('drop table symphony.%I', _part.relname);
    else
      _end := _part.ends;
    end if;
  end loop;
  if _end is null or _end <= _now then
    _end := date_trunc('hour', _now);
  end if;
  while _end < _now + 2 * _length loop
    _part := row('messenger_history_' || to_char(_end, 'YYYYMMDD_HH24'), _end + _length);
    execute format('create table symphony.%I (like symphony.messenger_history including defaults including indexes)', _part.f1);
    execute format('alter table symphony.%I enable row level security', _part.f1);
    for _grantee in -- those of default privileges
      select distinct coalesce(r.rolname, 'public') from pg_class c cross join aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
      where c.oid = format('symphony.%I', _part.f1)::regclass and a.grantee <> c.relowner
    loop
      execute format('revoke all on symphony.%I from %s', _part.f1, case _grantee when 'public' then 'public' else quote_ident(_grantee) end);
    end loop;
    execute format('with moved as (delete from symphony.messenger_history_default where finished_at >= %L and finished_at < %L returning *)
      insert into symphony.%I select * from moved', _end, _part.f2, _part.f1);
    execute format('alter table symphony.messenger_history attach partition symphony.%I for values from (%L) to (%L)', _part.f1, _end, _part.f2);
    _end := _part.f2;
  end loop;
  with old as (delete from symphony.messenger_history_default where ctid = any (array(
    select ctid from symphony.messenger_history_default where finished_at <= _now - _keep limit 1000)) returning 1)
  select count(*) into _rest from old;
  return _rest;
end $$;
comment on function symphony.messenger_partition(interval) is 'Makes the next partitions of the history and drops old ones; returns how many rows it deleted that had none.';
select symphony.messenger_partition('24 hours');

insert into symphony.messenger_migrations (version, name, applied_at, oldest_compatible) values (2, 'functions', clock_timestamp(), 5);

-- Step 3: api

do $$ begin
  if pg_catalog.to_regnamespace('"symphony"') is null then
    create schema "symphony";
  end if;
end $$;
create table if not exists symphony.messenger_migrations (
  version integer primary key, name text not null, applied_at timestamptz not null, oldest_compatible integer not null);
comment on table symphony.messenger_migrations is 'The steps that made this schema what it is.';
comment on column symphony.messenger_migrations.oldest_compatible is 'The oldest version of the program that works with the schema after this step.';

-- What SQL users call and look at.

create function symphony.messenger_refuse(_what text, _value text, _rule text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  raise exception using errcode = '22023', message = format('invalid %s %s: must be %s', _what, coalesce(to_json(left(_value, 80))::text, 'null'), _rule);
end $$;
comment on function symphony.messenger_refuse(text, text, text) is 'Raises the error for a value that breaks a rule.';

create function symphony.messenger_plain(_text text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$ select _text !~ E'[\\u0001-\\u001f\\u007f-\\u009f]' $$;
comment on function symphony.messenger_plain(text) is 'Whether a text has no control characters.';

create function symphony.messenger_new_id() returns uuid
language sql volatile set search_path = pg_catalog, pg_temp as $$
  -- RFC 9562: the milliseconds in front of random bits, and the version, whose 4 becomes 7 by two bits.
  select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
    substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;
comment on function symphony.messenger_new_id() is 'A UUID, version 7.';

create function symphony.messenger_copy_id(_id uuid, _subscriber text) returns uuid
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case when _subscriber = '' then _id else (
    select encode(set_byte(set_byte(b, 6, get_byte(b, 6) & 15 | 112), 8, get_byte(b, 8) & 63 | 128), 'hex')::uuid
    from (select overlay(uuid_send(_id) placing
      substring(sha256(uuid_send(_id) || convert_to(_subscriber, 'UTF8')) from 1 for 10) from 7 for 10) as b) s) end
$$;
comment on function symphony.messenger_copy_id(uuid, text) is 'The id of the copy of a message that belongs to a subscriber.';

create function symphony.messenger_milliseconds(_d interval) returns bigint
language sql immutable set search_path = pg_catalog, pg_temp as $$ select ceil(extract(epoch from _d) * 1000)::bigint $$;
comment on function symphony.messenger_milliseconds(interval) is 'Rounded up.';

create function symphony.messenger_check_labels(_headers jsonb, _tags text[]) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  _name text;
  _value text;
  _bytes integer := 0;
  _count integer := 0;
begin
  if _headers is not null and jsonb_typeof(_headers) <> 'object' then
    perform symphony.messenger_refuse('headers', _headers::text, 'a JSON object');
  end if;
  for _name, _value in select e.key, case when jsonb_typeof(e.value) = 'string' then e.value #>> '{}' end from jsonb_each(_headers) e loop
    _count := _count + 1;
    if (_name collate "C") !~ '^[a-z0-9][a-z0-9-]{0,63}$' then
      perform symphony.messenger_refuse('header name', _name, '[a-z0-9][a-z0-9-]{0,63}');
    elsif _name ~ '^(symphony|webhook|ce)-' then
      perform symphony.messenger_refuse('header name', _name, 'a name that does not begin with a reserved symphony-, webhook- or ce-');
    elsif _value is null then
      perform symphony.messenger_refuse('value of header ' || _name, _headers ->> _name, 'a string');
    elsif octet_length(_value) > 4096 then
      perform symphony.messenger_refuse('value of header ' || _name, _value, 'at most 4 KiB');
    elsif not symphony.messenger_plain(_value) then
      perform symphony.messenger_refuse('value of header ' || _name, _value, 'UTF-8 without control characters');
    end if;
    _bytes := _bytes + octet_length(_name) + octet_length(_value);
  end loop;
  if _count > 64 then
    perform symphony.messenger_refuse('number of headers', _count::text, 'at most 64');
  elsif _bytes > 16384 then
    perform symphony.messenger_refuse('size of headers', _bytes::text, 'at most 16 KiB together');
  elsif cardinality(_tags) > 16 then
    perform symphony.messenger_refuse('number of tags', cardinality(_tags)::text, 'at most 16');
  end if;
  foreach _value in array coalesce(_tags, '{}') loop
    if _value is null or octet_length(_value) not between 1 and 64 then
      perform symphony.messenger_refuse('tag', _value, '1 to 64 bytes');
    elsif not symphony.messenger_plain(_value) then
      perform symphony.messenger_refuse('tag', _value, 'UTF-8 without control characters');
    end if;
  end loop;
end $$;
comment on function symphony.messenger_check_labels(jsonb, text[]) is 'Refuses headers and tags that break a rule.';

create function symphony.dispatch_bytes(type text, body bytea, content_type text default 'application/octet-stream', queue text default 'default',
  priority integer default 5, delay interval default null, at timestamptz default null, expires interval default null,
  max_retries bigint default null, idempotency_key text default null, key_window interval default '24 hours', when_taken text default 'keep',
  group_key text default null, headers jsonb default null, tags text[] default null, wake boolean default false,
  out id uuid, out duplicate boolean, out replaced boolean, out copies uuid[]) returns record
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  _sub record;
  _stamps jsonb;
  _most bigint := (select s.number from symphony.messenger_state s where s.name = 'max_body');
  _new uuid := symphony.messenger_new_id();
  _names text[] := '{}';
  _ids uuid[] := '{}';
  _queues text[] := '{}';
  _priorities smallint[] := '{}';
  _ats timestamptz[] := '{}';
  _delays bigint[] := '{}';
  _expiries bigint[] := '{}';
  _retries bigint[] := '{}';
  _groups text[] := '{}';
  _headers jsonb[] := '{}';
  _tags text[] := '{}';
  _holders uuid[];
  _holder uuid;
  _open integer[];
  _again integer[];
  _n integer;
begin
  priority := coalesce(priority, 5);
  queue := coalesce(queue, 'default');
  content_type := coalesce(content_type, 'application/octet-stream');
  when_taken := coalesce(when_taken, 'keep');
  if type is null or (type collate "C") !~ '^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$' then
    perform symphony.messenger_refuse('message type', type, '[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}');
  elsif (queue collate "C") !~ '^[a-z0-9][a-z0-9_.-]{0,62}$' then
    perform symphony.messenger_refuse('queue', queue, '[a-z0-9][a-z0-9_.-]{0,62}');
  elsif priority not between 1 and 10 then
    perform symphony.messenger_refuse('priority', priority::text, 'between 1 and 10');
  elsif octet_length(group_key) not between 1 and 255 then
    perform symphony.messenger_refuse('group', group_key, '1 to 255 bytes');
  elsif octet_length(idempotency_key) not between 1 and 255 then
    perform symphony.messenger_refuse('idempotency key', idempotency_key, '1 to 255 bytes');
  elsif delay < interval '0' then
    perform symphony.messenger_refuse('delay', delay::text, 'zero or more');
  elsif expires <= interval '0' then
    perform symphony.messenger_refuse('expiry', expires::text, 'more than zero');
  elsif when_taken not in ('keep', 'replace', 'debounce') then
    perform symphony.messenger_refuse('when_taken', when_taken, 'keep, replace or debounce');
  elsif when_taken <> 'keep' and idempotency_key is null then
    perform symphony.messenger_refuse('idempotency key', null, 'there for when_taken');
  elsif key_window < interval '0' then
    perform symphony.messenger_refuse('idempotency window', key_window::text, 'zero or more');
  elsif extract(epoch from greatest(delay, expires, key_window)) > 9000000000 then
    perform symphony.messenger_refuse('delay, expiry or window', greatest(delay, expires, key_window)::text, 'at most 285 years');
  elsif not isfinite(at) or at < '1970-01-01 00:00Z' or at >= '10000-01-01 00:00Z' then
    perform symphony.messenger_refuse('time', at::text, 'between the years 1970 and 9999');
  elsif max_retries < 0 then
    perform symphony.messenger_refuse('max retries', max_retries::text, 'zero or more');
  elsif octet_length(content_type) > 255 then
    perform symphony.messenger_refuse('content type', content_type, 'at most 255 bytes');
  elsif not symphony.messenger_plain(content_type) then
    perform symphony.messenger_refuse('content type', content_type, 'UTF-8 without control characters');
  elsif body is null then
    perform symphony.messenger_refuse('body', null, 'bytes');
  elsif octet_length(body) > _most then
    perform symphony.messenger_refuse('body of ' || octet_length(body) || ' bytes', '', 'at most ' || _most || ' bytes');
  elsif content_type = 'application/json' and symphony.messenger_json(content_type, body) is null then
    perform symphony.messenger_refuse('body', left(encode(body, 'escape'), 80), 'JSON, as its content type says');
  end if;
  if when_taken = 'debounce' then
    key_window := interval '0'; -- what comes after its end is another message
  end if;
  at := date_trunc('milliseconds', at + interval '999 microseconds'); -- rounded up
  perform symphony.messenger_check_labels(headers, tags);
  for _sub in
    select s.subscriber, s.stamps from symphony.messenger_subscriptions s where s.message_type = type
    union all select '', '{}' where not exists (select from symphony.messenger_subscriptions s where s.message_type = type)
    order by 1
  loop
    _stamps := case when _sub.subscriber = '' then '{}' else _sub.stamps end;
    _names := _names || _sub.subscriber;
    _ids := _ids || symphony.messenger_copy_id(_new, _sub.subscriber);
    _queues := _queues || coalesce(_stamps ->> 'queue', queue);
    _priorities := _priorities || coalesce((_stamps ->> 'priority')::smallint, priority::smallint);
    _groups := _groups || coalesce(_stamps ->> 'group', group_key);
    _ats := _ats || case when _stamps ? 'delay' then null else at end;
    _delays := _delays || coalesce(ceil((_stamps ->> 'delay')::numeric / 1000000)::bigint, symphony.messenger_milliseconds(delay), 0);
    _expiries := _expiries || coalesce(ceil((_stamps ->> 'expires')::numeric / 1000000)::bigint, symphony.messenger_milliseconds(expires), 0);
    _retries := _retries || coalesce((_stamps ->> 'max_retries')::bigint, max_retries);
    _headers := _headers || nullif(coalesce(headers, '{}') || coalesce(_stamps -> 'headers', '{}'), '{}');
    _tags := _tags || nullif(coalesce(tags, '{}') || coalesce(array(select jsonb_array_elements_text(_stamps -> 'tags')), '{}'), '{}')::text;
  end loop;
  _n := cardinality(_ids);
  _holders := array_fill(null::uuid, array[_n]);
  for _sub in
    select a.n, a.holder from symphony.messenger_accept(null, _ids, array_fill(type, array[_n]), _names, _queues, _priorities, _ats, _delays, _expiries,
      _retries, array_fill(idempotency_key, array[_n]), array_fill(coalesce(symphony.messenger_milliseconds(key_window), 0), array[_n]), _groups,
      _headers, _tags, array_fill(0::bigint, array[_n]), array_fill(content_type, array[_n]), array_fill(body, array[_n])) a
  loop
    _holders[_sub.n] := _sub.holder;
  end loop;
  replaced := false;
  _open := array(select n from generate_subscripts(_holders, 1) n where when_taken <> 'keep' and _holders[n] is not null);
  for _try in 1..20 loop -- others may take the keys meanwhile
    exit when _open = '{}';
    _again := '{}';
    for _sub in select o.n from unnest(_open) as o(n) order by _holders[o.n] loop -- as messenger_replace locks them
      _n := _sub.n;
      if 'replaced' = (select r.fate from symphony.messenger_replace(_holders[_n:_n], array[when_taken], _ats[_n:_n], _delays[_n:_n], _priorities[_n:_n],
          _retries[_n:_n], _headers[_n:_n], _tags[_n:_n], array[0::bigint], array[content_type], array[body]) r) then
        replaced := true;
      else
        _again := _again || _n;
      end if;
    end loop;
    _open := '{}';
    for _sub in select o.n from unnest(_again) as o(n) order by o.n loop
      _n := _sub.n;
      select a.holder into _holder from symphony.messenger_accept(null, _ids[_n:_n], array[type], _names[_n:_n], _queues[_n:_n], _priorities[_n:_n], _ats[_n:_n],
        _delays[_n:_n], _expiries[_n:_n], _retries[_n:_n], array[idempotency_key], array[coalesce(symphony.messenger_milliseconds(key_window), 0)], _groups[_n:_n],
        _headers[_n:_n], _tags[_n:_n], array[0::bigint], array[content_type], array[body]) a;
      if not found then
        _holders[_n] := null; -- it is stored
      elsif _holder <> _holders[_n] then
        _holders[_n] := _holder;
        _open := _open || _n;
      end if;
    end loop;
  end loop;
  id := coalesce(_holders[1], _ids[1]);
  copies := array(select coalesce(_holders[n], _ids[n]) from generate_subscripts(_ids, 1) n where _names[n] <> '' order by n);
  duplicate := array_position(_holders, null) is null;
  if wake then
    perform symphony.wake(q) from unnest(_queues) q group by q;
  end if;
end $$;
comment on function symphony.dispatch_bytes(text, bytea, text, text, integer, interval, timestamptz, interval, bigint, text, interval, text, text, jsonb, text[], boolean) is
  'Sends a message with any bytes as its body, in the transaction of the caller. See dispatch.';

create function symphony.dispatch(type text, payload json default '{}', queue text default 'default',
  priority integer default 5, delay interval default null, at timestamptz default null, expires interval default null,
  max_retries bigint default null, idempotency_key text default null, key_window interval default '24 hours', when_taken text default 'keep',
  group_key text default null, headers jsonb default null, tags text[] default null, wake boolean default false,
  out id uuid, out duplicate boolean, out replaced boolean, out copies uuid[]) returns record
language sql set search_path = pg_catalog, pg_temp as $$
  select d.id, d.duplicate, d.replaced, d.copies from symphony.dispatch_bytes(type, convert_to(payload::text, 'UTF8'), 'application/json', queue, priority,
    delay, at, expires, max_retries, idempotency_key, key_window, when_taken, group_key, headers, tags, wake) d
$$;
comment on function symphony.dispatch(text, json, text, integer, interval, timestamptz, interval, bigint, text, interval, text, text, jsonb, text[], boolean) is
  'Sends a message in the transaction of the caller, by the same rules as Dispatch in Go: its id, whether one with its idempotency key was there already and has been given this content, and the ids of the copies for subscribers. when_taken is what to do when another message has the key: keep it, replace its content if it waits, or debounce, which also makes it wait for the delay again. The text of the payload is kept as it is. Workers find it with their next poll, within 250 ms; with wake they are told at the commit, which takes a lock that all transactions with a NOTIFY share.';

create function symphony.wake(queue text default 'default') returns void
language sql set search_path = pg_catalog, pg_temp as $$ select pg_notify('symphony.wake', queue) $$;
comment on function symphony.wake(text) is 'Tells workers that there may be something in a queue. Best called after the commit, on its own.';

create function symphony.messenger_cancel(_id uuid, _history text, _transport text) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  _token bigint;
begin
  select m.token into _token from symphony.messenger_messages m where m.id = _id for update;
  if not found then
    return null;
  elsif _token is null then
    perform symphony.messenger_end(array[_id], 'cancelled', _history, _transport);
    return 'cancelled';
  end if;
  update symphony.messenger_messages m set cancel_requested = true where m.id = _id;
  return 'processing';
end $$;
comment on function symphony.messenger_cancel(uuid, text, text) is 'Cancels a message; see cancel.';

create function symphony.cancel(id uuid) returns text
language sql set search_path = pg_catalog, pg_temp as $$ select symphony.messenger_cancel(id, 'full', '') $$;
comment on function symphony.cancel(uuid) is
  'Cancels a message: at once if it waits, which returns cancelled; one that is being handled is marked, its worker learns it with its next heartbeat, and the answer is processing. Null: there is no live message with the id.';

create function symphony.messenger_type_kind(_type oid) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  _of record;
  _kind text := 'own';
begin
  loop
    select t.oid, t.typbasetype, t.typelem, t.typlen into _of from pg_type t where t.oid = _type;
    if _of.oid < 16384 then -- types that come with the server
      return 'built-in';
    elsif _of.typbasetype <> 0 then -- a domain is like the type below it
      _type := _of.typbasetype;
    elsif _of.typelem <> 0 and _of.typlen = -1 and _kind = 'own' then
      _type := _of.typelem;
      _kind := 'array';
    else
      return _kind;
    end if;
  end loop;
end $$;
comment on function symphony.messenger_type_kind(oid) is 'Whether values of a type have no code of somebody''s: built-in, own, or an array of own.';

create function symphony.dispatch_row() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  _row json;
  _columns text;
begin
  if tg_nargs not between 1 and 3 then
    raise exception 'trigger %: dispatch_row takes a message type, and perhaps a queue and the column of the idempotency key', tg_name;
  elsif tg_nargs > 2 and not exists (select from pg_attribute c
    where c.attrelid = tg_relid and c.attname = tg_argv[2] and c.attnum > 0 and not c.attisdropped) then
    raise exception 'trigger %: table % has no column %', tg_name, tg_table_name, tg_argv[2];
  elsif not exists (select from pg_attribute c where c.attrelid = tg_relid and c.attnum > 0 and c.atttypid >= 16384 and not c.attisdropped) then
    _row := row_to_json(new);
  else
    -- Who inserts may have no rights here: then this runs with those of the owner. A type of somebody's may have a cast to JSON that is a
    -- function of his, and must not run so. The stars are for columns that have the same name. The text of a value is made by the type itself, which only a superuser can define.
    select string_agg(format(case symphony.messenger_type_kind(c.atttypid)
        when 'built-in' then '($1).%1$I as %1$I'
        when 'own' then 'case when num_nulls(($1).%1$I) = 0 then concat(($1).%1$I) end as %1$I'
        else 'case when num_nulls(($1).%1$I) = 0 then array(select case when num_nulls(e.*) = 0 then concat(e.*) end from unnest(($1).%1$I) e) end as %1$I'
      end, c.attname), ', ' order by c.attnum)
    into _columns from pg_attribute c where c.attrelid = tg_relid and c.attnum > 0 and not c.attisdropped;
    execute format('select row_to_json(r.*) from (select %s) r', _columns) into _row using new;
  end if;
  perform symphony.dispatch(tg_argv[0], _row, queue => case when tg_nargs > 1 then tg_argv[1] end,
    idempotency_key => case when tg_nargs > 2 then _row ->> tg_argv[2] end);
  return null;
end $$;
comment on function symphony.dispatch_row() is
  'For a trigger AFTER INSERT … FOR EACH ROW on a table of yours: sends the row as a message in the same transaction. Arguments: message type, queue, and the column whose value is the idempotency key. Values of types that do not come with the server are sent as text, arrays of them as arrays of text.';

-- Views for people.

create view symphony.messenger_counts as
select queue_name, message_type, sum(due - processing)::bigint as pending, sum(scheduled)::bigint as scheduled, sum(processing)::bigint as processing,
  sum(completed)::bigint as completed, sum(failed)::bigint as failed, sum(cancelled)::bigint as cancelled, sum(expired)::bigint as expired,
  sum(no_handler)::bigint as no_handler
from (
  select queue_name, message_type, due, scheduled, 0 as processing, completed, failed, cancelled, expired, no_handler from symphony.messenger_stats
  union all
  select queue_name, message_type, due, scheduled, 0, completed, failed, cancelled, expired, no_handler from symphony.messenger_stats_deltas
  union all
  -- Counting claims when they are made would be a tenth of their work; what workers have is never much.
  select queue_name, message_type, 0, 0, count(*), 0, 0, 0, 0, 0 from symphony.messenger_messages where locked_by is not null group by 1, 2
) s group by 1, 2;
comment on view symphony.messenger_counts is 'How many messages of each queue and type are in each state, exact at every commit; ends count for ever.';

create view symphony.messenger_queue_depth as
select queue_name, sum(pending)::bigint as pending, sum(scheduled)::bigint as scheduled, sum(processing)::bigint as processing, sum(failed)::bigint as failed
from symphony.messenger_counts group by 1;
comment on view symphony.messenger_queue_depth is 'How much waits in each queue.';

create function symphony.messenger_json(_content_type text, _body bytea) returns json
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if _content_type <> 'application/json' then
    return null;
  end if;
  return convert_from(_body, 'UTF8')::json;
exception when others then
  return null; -- not text, or not JSON: it is shown as bytes
end $$;
comment on function symphony.messenger_json(text, bytea) is 'A body as JSON, or null where it is none.';

create view symphony.messenger_overview as
select id, status, queue_name, message_type, subscriber, waiting_for, priority, created_at, scheduled_at, available_at, expires_at,
  null::timestamptz as finished_at, retry_count, max_retries, crash_count, snooze_count, fence,
  (select w.identity from symphony.messenger_workers w where w.worker = m.locked_by) as locked_by, locked_at,
  (select w.alive_until from symphony.messenger_workers w where w.worker = m.locked_by) as lock_expires_at,
  idempotency_key, group_key, null::text as reason, last_error, error_class, attempts, headers, tags, version, content_type,
  symphony.messenger_json(content_type, body) as body_json, body
from symphony.messenger_messages m
union all
select id, 'failed', queue_name, message_type, subscriber, null, priority, created_at, scheduled_at, null, expires_at,
  failed_at, retry_count, max_retries, crash_count, snooze_count, fence, null, null, null,
  idempotency_key, group_key, reason, error, error_class, attempt_log, headers, tags, version, content_type,
  symphony.messenger_json(content_type, body), body
from symphony.messenger_failed_messages
union all
select id, status, queue_name, message_type, subscriber, null, priority, created_at, scheduled_at, available_at, expires_at,
  finished_at, retry_count, max_retries, crash_count, snooze_count, fence, locked_by, locked_at, null,
  idempotency_key, group_key, null, last_error, error_class, attempts, headers, tags, version, content_type,
  symphony.messenger_json(content_type, body), body
from symphony.messenger_history;
comment on view symphony.messenger_overview is 'Every message in whatever state, with its worker and lease while it is handled, and its body as JSON where it is JSON.';

create view symphony.messenger_failed_summary as
select fingerprint, message_type, error_class, reason, count(*) as count, min(failed_at) as first_failed_at, max(failed_at) as last_failed_at,
  max(error) as example
from symphony.messenger_failed_messages group by 1, 2, 3, 4;
comment on view symphony.messenger_failed_summary is 'Dead letters that failed alike.';

insert into symphony.messenger_migrations (version, name, applied_at, oldest_compatible) values (3, 'api', clock_timestamp(), 5);

-- Step 4: monitor

do $$ begin
  if pg_catalog.to_regnamespace('"symphony"') is null then
    create schema "symphony";
  end if;
end $$;
create table if not exists symphony.messenger_migrations (
  version integer primary key, name text not null, applied_at timestamptz not null, oldest_compatible integer not null);
comment on table symphony.messenger_migrations is 'The steps that made this schema what it is.';
comment on column symphony.messenger_migrations.oldest_compatible is 'The oldest version of the program that works with the schema after this step.';

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

insert into symphony.messenger_migrations (version, name, applied_at, oldest_compatible) values (4, 'monitor', clock_timestamp(), 5);

-- Step 5: schedules

do $$ begin
  if pg_catalog.to_regnamespace('"symphony"') is null then
    create schema "symphony";
  end if;
end $$;
create table if not exists symphony.messenger_migrations (
  version integer primary key, name text not null, applied_at timestamptz not null, oldest_compatible integer not null);
comment on table symphony.messenger_migrations is 'The steps that made this schema what it is.';
comment on column symphony.messenger_migrations.oldest_compatible is 'The oldest version of the program that works with the schema after this step.';

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

insert into symphony.messenger_migrations (version, name, applied_at, oldest_compatible) values (5, 'schedules', clock_timestamp(), 5);

-- The roles for a schema, named after it. Roles belong to the whole cluster, and who makes them needs CREATEROLE: this is no step of the
-- migration. It may run before the first step, then it also makes the schema, or at any time after, and again at any time.
--
--   symphony_owner     owns everything, and cannot log in; who migrates is a member
--   symphony_worker    programs: send, work, look, repair; not: change the schema, or transports
--   symphony_enqueue   calls dispatch, dispatch_bytes, wake, and makes triggers with dispatch_row; nothing else
--   symphony_reader    reads the views, and the tables that they read
--   symphony_admin     reads and changes every row, from psql too; changes no object
do $roles$
declare
  _path text := pg_catalog.current_setting('search_path');
  _lock text := pg_catalog.current_setting('lock_timeout');
  _schema text := (pg_catalog.parse_ident('symphony.messenger_messages'))[1];
  _new integer := pg_catalog.current_setting('server_version_num')::pg_catalog.int4;
  _owner text;
  _worker text;
  _role record;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('lock_timeout', '10s', true);
  _owner := format('%I', _schema || '_owner');
  _worker := format('%I', _schema || '_worker');
  for _role in
    select format('%I', _schema || '_' || r.name) as name, r.comment from (values
      ('owner', 'owns the tables of messages'), ('worker', 'sends and handles messages, looks and repairs'),
      ('enqueue', 'sends messages by functions'), ('reader', 'looks at messages'), ('admin', 'looks at messages and repairs')) r(name, comment)
  loop
    if to_regrole(_role.name) is null then
      begin
        execute format('create role %s nologin', _role.name);
        execute format('comment on role %s is %L', _role.name, format('Schema %s: %s.', _schema, _role.comment));
      exception when duplicate_object or unique_violation then
        null; -- somebody else does the same for another database
      end;
    end if;
    if exists (select from pg_roles r where r.oid = to_regrole(_role.name) and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolreplication)) then
      raise exception 'role % must have no attributes such as SUPERUSER, BYPASSRLS or CREATEROLE: functions run as such roles', _role.name;
    end if;
  end loop;

  -- Whoever hands things over must be a member. A superuser need not.
  if not (select r.rolsuper from pg_roles r where r.rolname = current_user) then
    if not pg_has_role(to_regrole(_owner), 'USAGE') then
      execute format('grant %s to current_user', _owner);
    end if;
  end if;
  -- Who owned the tables so far goes on working.
  for _role in
    select r.oid, format('%I', r.rolname) as name from pg_class c join pg_roles r on r.oid = c.relowner
    where c.oid = to_regclass('symphony.messenger_messages') and not r.rolsuper and not pg_has_role(r.oid, to_regrole(_owner), 'USAGE')
  loop
    execute format('grant %s to %s', _owner, _role.name);
  end loop;
  -- Workers vacuum the tables, which only their owner may do before PostgreSQL 17. From then on there is MAINTAIN.
  if _new < 170000 then
    execute format('grant %s to %s', _owner, _worker);
  elsif exists (select from pg_auth_members m where m.roleid = to_regrole(_owner) and m.member = to_regrole(_worker)) then
    execute format('revoke %s from %s', _owner, _worker);
  end if;

  if to_regnamespace(format('%I', _schema)) is null then
    execute format('create schema %I authorization %s', _schema, _owner);
  elsif _schema = 'public' then
    execute format('grant usage, create on schema %I to %s', _schema, _owner);
  elsif (select n.nspowner from pg_namespace n where n.nspname = _schema) <> to_regrole(_owner) then
    execute format('alter schema %I owner to %s', _schema, _owner);
  end if;
  execute format('alter default privileges for role %s revoke all on functions from public', _owner);
  execute format('alter default privileges for role %s revoke all on types from public', _owner);
  perform set_config('search_path', _path, true), set_config('lock_timeout', _lock, true);
end $roles$;

-- Who may do what, worked out from what there is: nothing is open to PUBLIC, nor to the roles of Supabase's data API, and the rest is for
-- the roles of roles.sql, if they are there. It runs at the end of every migration, and may run again at any time.
do $rights$
declare
  _path text := pg_catalog.current_setting('search_path');
  _lock text := pg_catalog.current_setting('lock_timeout');
  _messages oid := pg_catalog.to_regclass('symphony.messenger_messages');
  _new integer := pg_catalog.current_setting('server_version_num')::pg_catalog.int4;
  _schema text;
  _owner oid;
  _worker text;
  _enqueue text;
  _reader text;
  _admin text;
  _text text;
begin
  if _messages is null then
    return; -- the roles were made before the first step
  end if;
  -- Whoever is in the way for longer is not waited for: behind us wait all who work, and they do so for 2 s.
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('lock_timeout', '500ms', true);
  select n.nspname into _schema from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = _messages;
  _owner := to_regrole(format('%I', _schema || '_owner'));
  _worker := format('%I', _schema || '_worker');
  _enqueue := format('%I', _schema || '_enqueue');
  _reader := format('%I', _schema || '_reader');
  _admin := format('%I', _schema || '_admin');
  if to_regrole(_worker) is null or to_regrole(_enqueue) is null or to_regrole(_reader) is null or to_regrole(_admin) is null
    or not pg_has_role(_owner, 'USAGE') then
    _owner := null; -- there are no roles, or they are not for us to use
  end if;

  for _text in
    with schema as (
      select n.oid, format('%I', n.nspname) as name, n.nspowner, n.nspacl from pg_namespace n where n.nspname = _schema),
    relations as (
      select c.*, format('%s.%I', s.name, c.relname) as name, case c.relkind when 'S' then 'sequence' else 'table' end as kind,
        -- With a view its tables are for those who read. So a table is closed to them until there is a view of it.
        c.relkind = 'v' or c.relname = 'messenger_migrations' or exists (
          select from pg_depend d join pg_rewrite w on w.oid = d.objid join pg_class v on v.oid = w.ev_class
          where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
            and v.relnamespace = s.oid and v.relkind = 'v' and v.relname like 'messenger\_%' and v.oid <> c.oid) as readable
      from schema s join pg_class c on c.relnamespace = s.oid where c.relkind in ('r', 'p', 'v', 'S') and c.relname like 'messenger\_%'),
    functions as (
      select p.*, p.oid::regprocedure::text as name from schema s join pg_proc p on p.pronamespace = s.oid
      where p.proname like 'messenger\_%' or p.proname in ('clock', 'dispatch', 'dispatch_bytes', 'dispatch_row', 'wake', 'cancel')),
    types as (
      select t.*, t.oid::regtype::text as name from schema s join pg_type t on t.typnamespace = s.oid
      where t.typtype in ('e', 'd') and t.typname like 'messenger\_%'),
    strangers as (
      select 0::oid as role, 'public' as name union all select r.oid, format('%I', r.rolname) from pg_roles r where r.rolname in ('anon', 'authenticated')),
    statements (n, text) as (
      -- 1: hand everything over to the owner
      select 1, format('alter %s %s owner to %s', case c.relkind when 'v' then 'view' else 'table' end, c.name, _owner::regrole)
      from relations c where c.relowner <> _owner and c.relkind <> 'S'
      union all select 1, format('alter function %s owner to %s', p.name, _owner::regrole) from functions p
      where p.proowner <> _owner
      union all select 1, format('alter type %s owner to %s', t.name, _owner::regrole) from types t where t.typowner <> _owner
      -- 2: close what is open
      union all select 2, format('revoke all on schema %s from %s', s.name, g.name) from schema s, strangers g
      where _schema <> 'public' and pg_has_role(s.nspowner, 'USAGE')
        and exists (select from aclexplode(s.nspacl) a where a.grantee = g.role)
      union all select 2, format('revoke all on %s %s from %s', c.kind, c.name, g.name) from relations c, strangers g
      where exists (select from aclexplode(c.relacl) a where a.grantee = g.role)
        or exists (select from pg_attribute t, aclexplode(t.attacl) a where t.attrelid = c.oid and a.grantee = g.role)
      union all select 2, format('revoke all on function %s from %s', p.name, g.name) from functions p, strangers g
      where exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = g.role)
      union all select 2, format('revoke all on type %s from %s', t.name, g.name) from types t, strangers g
      where exists (select from aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a where a.grantee = g.role)
      union all select 2, format('alter table %s enable row level security', c.name) from relations c
      where c.relkind in ('r', 'p') and not c.relrowsecurity
      -- A view that asks for the rights of who reads it shows nothing to somebody to whom it was opened by mistake. Before PostgreSQL 15 views
      -- cannot do that: there only their own rights count.
      union all select 2, format('alter view %s set (security_invoker = on)', c.name) from relations c
      where c.relkind = 'v' and _new >= 150000 and not coalesce(c.reloptions @> '{security_invoker=on}', false)
      -- 3: what the roles may do
      union all select 3, format('grant usage on schema %s to %s, %s, %s, %s', s.name, _worker, _enqueue, _reader, _admin)
      from schema s where _owner is not null and (_schema <> 'public' or pg_has_role(s.nspowner, 'USAGE'))
      union all select 3, format('grant %s on %s to %s', case when c.relkind = 'v' or c.relname in ('messenger_migrations', 'messenger_transports')
        then 'select' else 'select, insert, update, delete' end, c.name, _worker)
      from relations c where _owner is not null and c.relkind <> 'S' and not c.relispartition
      union all select 3, format('grant maintain on %s to %s', c.name, _worker)
      from relations c where _owner is not null and _new >= 170000 and c.relkind in ('r', 'p') and not c.relispartition
      union all select 3, format('grant %s on %s to %s', case when c.relkind = 'v' or c.relname = 'messenger_migrations'
        then 'select' else 'select, insert, update, delete' end, c.name, _admin)
      from relations c where _owner is not null and c.relkind <> 'S' and not c.relispartition
      union all select 3, format('grant select on %s to %s', c.name, _reader)
      from relations c where _owner is not null and c.readable and not c.relispartition
      union all select 3, format('grant execute on function %s to %s, %s', p.name, _worker, _admin) from functions p where _owner is not null
      union all select 3, format('grant execute on function %s to %s', p.name, _reader) from functions p
      where _owner is not null and p.proname in ('clock', 'messenger_json', 'messenger_body_is')
      union all select 3, format('grant execute on function %s to %s', p.name, _enqueue) from functions p
      where _owner is not null and p.proname in ('dispatch', 'dispatch_bytes', 'dispatch_row', 'wake')
      union all select 3, format('create policy messenger_rows on %s to %s, %s using (true) with check (true)', c.name, _worker, _admin) from relations c
      where _owner is not null and c.relkind in ('r', 'p') and not c.relispartition
        and not exists (select from pg_policy y where y.polrelid = c.oid and y.polname = 'messenger_rows')
      union all select 3, format('create policy messenger_look on %s for select to %s using (true)', c.name, _reader) from relations c
      where _owner is not null and c.relkind in ('r', 'p') and c.readable and not c.relispartition
        and not exists (select from pg_policy y where y.polrelid = c.oid and y.polname = 'messenger_look')
      -- 4: those who only send may write to no table, so these do it for them. They run nobody's code: their arguments are of built-in
      -- types, and dispatch_row sends values of other types as text.
      union all select 4, format('alter function %s security definer', p.name) from functions p
      where _owner is not null and p.proname in ('dispatch_bytes', 'dispatch_row') and not p.prosecdef)
    select s.text from statements s order by s.n, s.text
  loop
    execute _text;
  end loop;
  perform set_config('search_path', _path, true), set_config('lock_timeout', _lock, true);
end $rights$;
