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
