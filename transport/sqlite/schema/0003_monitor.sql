-- What people need to look at the queue and to repair it.

-- Queues and types that no worker takes messages of. Those of a paused queue stay where they are: no claim looks there. Those of a
-- paused type are among others, and are taken out of the index that claims walk, in small steps, as they come near its begin.
create table messenger_pauses (
  kind       text    not null check (kind in ('queue', 'type')),
  name       text    not null,
  paused_at  integer not null,
  paused_by  text    not null default '',           -- for people
  resumed_at integer,                               -- its messages are being made claimable again
  primary key (kind, name)
) without rowid;
create index messenger_messages_paused on messenger_messages (message_type) where waiting_for = 'paused';

-- What workers did in each minute, written every two seconds.
create table messenger_minutes (
  at           integer not null,                    -- its begin
  queue_name   text    not null,
  message_type text    not null,
  completed    integer not null,
  retried      integer not null,                    -- attempts that failed, and were to be repeated
  failed       integer not null,                    -- attempts after which the message was a dead letter
  other        integer not null,                    -- attempts that ended in any other way
  wait         text    not null,                    -- JSON: how many waited how long from being due to being claimed: below
                                                    -- 128 microseconds, then four ranges for each doubling
  run          text    not null,                    -- JSON: how many ran how long, in the same ranges
  primary key (at, queue_name, message_type)
) without rowid;

-- Changes of many messages at once: what they do, and how far they are.
create table messenger_bulks (
  id          blob    not null primary key,
  state       text    not null check (state in ('running', 'done', 'aborted')),
  document    text    not null,                     -- JSON: the action, the messages it is about, and its progress
  holder      text    not null,                     -- who runs it, until held_until
  held_until  integer not null,
  aborted     integer not null default 0,           -- somebody has asked whoever runs it to stop
  created_at  integer not null,
  updated_at  integer not null,
  finished_at integer
) without rowid;
