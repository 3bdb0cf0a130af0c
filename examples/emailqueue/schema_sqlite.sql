-- The application's own table, as it was before there was Symphony.
create table if not exists email_queue (
  id           integer primary key,
  user_id      integer not null,
  mailbox_id   integer not null,
  to_email     text    not null,
  subject      text    not null,
  html         text    not null,
  from_name    text    not null,
  from_email   text    not null,
  type         text    not null,
  priority     text    not null default 'normal' check (priority in ('low', 'normal', 'high', 'urgent')),
  status       text    not null default 'queued' check (status in ('queued', 'processing', 'sent', 'failed')),
  scheduled_at text,                                    -- UTC, 2026-01-31T12:00:00.000Z; null: at once
  retry_count  integer not null default 0,
  max_retries  integer not null default 3,
  last_error   text,
  created_at   text    not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
create index if not exists email_queue_status on email_queue (status, id);

-- What is added to the application's schema: which rows were moved, and the message that each belongs to.
create table if not exists email_queue_messages (
  email_id   integer primary key references email_queue on delete cascade,
  message_id blob    not null                           -- messenger_messages.id
);

-- A row that anybody sets back to queued belongs to nobody: the cron job may take it, or the mover again.
create trigger if not exists email_queue_requeued after update of status on email_queue when new.status = 'queued'
begin
  delete from email_queue_messages where email_id = new.id;
end;
