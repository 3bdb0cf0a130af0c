-- Messages, their ends, and what the queue needs to know about them.
-- All times are whole milliseconds since 1970 in UTC; the views show them as text.

-- The hot table: live messages only. A claimed message stays here with its lease. Its CHECKs avoid IN, for
-- which SQLite builds a table for every row.
create table messenger_messages (
  seq              integer primary key autoincrement, -- the order of acceptance; never used twice, because tokens hold it
  id               blob    not null unique,           -- UUID, version 7, made by the sender
  queue_name       text    not null,
  message_type     text    not null,
  subscriber       text    not null default '',
  status           text    not null check (status = 'pending' or status = 'scheduled' or status = 'processing'),
  waiting_for      text    check (waiting_for = 'group' or waiting_for = 'handler' or waiting_for = 'paused'),
  priority         integer not null default 5 check (priority between 1 and 10),
  created_at       integer not null,
  scheduled_at     integer,                           -- the time asked for, never changed
  available_at     integer not null,                  -- when it is next due
  expires_at       integer,
  retry_count      integer not null default 0,        -- failures that led to another attempt
  max_retries      integer check (max_retries >= 0),  -- null: the handler's policy decides
  crash_count      integer not null default 0,        -- leases that ran out
  snooze_count     integer not null default 0,
  unhandled_count  integer not null default 0,        -- times that a worker had no handler
  fence            integer not null default 0,        -- deliveries
  locked_by        integer,                           -- messenger_workers.worker, whose row has the end of the lease
  locked_at        integer,
  cancel_requested integer not null default 0,
  idempotency_key  text    check (length(cast(idempotency_key as blob)) between 1 and 255),
  group_key        text    check (length(cast(group_key as blob)) between 1 and 255),
  last_error       text,
  error_class      text,
  attempts         text,                              -- JSON: the failed attempts, first 2 and last 8
  headers          text,                              -- JSON object
  tags             text,                              -- JSON array
  version          integer not null default 0,
  content_type     text    not null default 'application/json',
  body             blob    not null                   -- last, so that the columns before it are read without it
);

-- Only what can be claimed now is in the index that claims walk.
create index messenger_messages_ready on messenger_messages (queue_name, priority desc)
  where status = 'pending' and waiting_for is null;
create index messenger_messages_due on messenger_messages (available_at) where status = 'scheduled';
create index messenger_messages_locked on messenger_messages (locked_by) where status = 'processing';
create index messenger_messages_group on messenger_messages (queue_name, group_key, available_at) where waiting_for = 'group';
create index messenger_messages_expiring on messenger_messages (expires_at)
  where expires_at is not null and status in ('pending', 'scheduled');

-- The dead letter queue: the message whole, and why.
create table messenger_failed_messages (
  seq              integer primary key autoincrement,
  id               blob    not null unique,
  transport        text    not null default '',
  queue_name       text    not null,
  message_type     text    not null,
  subscriber       text    not null default '',
  reason           text    not null,
  error            text    not null,
  error_class      text    not null,
  error_trace      text,
  fingerprint      text    not null,
  failed_at        integer not null,
  attempts         integer not null,                  -- failures
  attempt_log      text,                              -- JSON, as messenger_messages.attempts
  priority         integer not null,
  created_at       integer not null,
  scheduled_at     integer,
  expires_at       integer,
  retry_count      integer not null,                  -- failures that led to another attempt
  max_retries      integer,
  crash_count      integer not null,
  snooze_count     integer not null,
  fence            integer not null,
  idempotency_key  text,
  group_key        text,
  headers          text,
  tags             text,
  version          integer not null,
  content_type     text    not null,
  body             blob    not null
);
create index messenger_failed_messages_fingerprint on messenger_failed_messages (fingerprint);

-- Ended messages for a while: completed, cancelled, expired. Rows are in the order of their ends.
create table messenger_history (
  seq              integer primary key autoincrement,
  id               blob    not null,
  queue_name       text    not null,
  message_type     text    not null,
  subscriber       text    not null default '',
  status           text    not null check (status = 'completed' or status = 'cancelled' or status = 'expired'),
  finished_at      integer not null,
  locked_at        integer,                           -- when its last attempt was claimed
  locked_by        text,
  priority         integer not null,
  created_at       integer not null,
  scheduled_at     integer,
  available_at     integer not null,
  expires_at       integer,
  retry_count      integer not null,
  max_retries      integer,
  crash_count      integer not null,
  snooze_count     integer not null,
  fence            integer not null,
  idempotency_key  text,
  group_key        text,
  last_error       text,
  error_class      text,
  attempts         text,
  headers          text,
  tags             text,
  version          integer not null,
  content_type     text    not null,
  body             blob                               -- null where history keeps no bodies
);
create index messenger_history_id on messenger_history (id);

-- Idempotency keys: taken until expires_at, and while the message lives.
create table messenger_keys (
  message_type text    not null,
  subscriber   text    not null,
  key          text    not null,
  message_id   blob    not null,
  body_hash    blob    not null,                      -- SHA-256
  expires_at   integer not null,
  primary key (message_type, subscriber, key)
) without rowid;
create index messenger_keys_expires on messenger_keys (expires_at);

-- The member of a group that may run, runs, or waits for its retry. The others wait for it.
create table messenger_groups (
  queue_name text    not null,
  group_key  text    not null,
  holder     integer not null,                        -- messenger_messages.seq
  primary key (queue_name, group_key)
) without rowid;

-- Who handles what. The handler of a type has the subscriber ''.
create table messenger_subscriptions (
  message_type text    not null,
  subscriber   text    not null,
  queue_name   text,
  stamps       text    not null default '{}',         -- JSON: what a copy gets
  owner        text    not null default '',
  created_at   integer not null,
  last_seen    integer not null,
  primary key (message_type, subscriber)
) without rowid;

-- Workers alive. The lease of everything that one holds ends at alive_until.
create table messenger_workers (
  worker      integer primary key autoincrement,
  identity    text    not null unique,
  started_at  integer not null,
  alive_until integer not null,
  lease       integer not null,                       -- milliseconds
  queues      text    not null default '[]'           -- JSON array: that it has asked for messages of
);

-- How many messages are in each state, kept exact by every transaction. Ends count for ever. The status
-- no_handler counts those of the scheduled ones that wait because a worker had no handler.
create table messenger_stats (
  queue_name   text    not null,
  message_type text    not null,
  status       text    not null,
  count        integer not null,
  primary key (queue_name, message_type, status)
) without rowid;

-- Transports added at run time.
create table messenger_transports (
  name       text    primary key,
  type       text    not null,
  config     text    not null default '{}',
  enabled    integer not null default 1,
  created_at integer not null,
  updated_at integer not null
) without rowid;
