-- The application's own table, as it was before there was Symphony.
create table if not exists email_queue (
  id           bigint primary key,
  user_id      bigint      not null,
  mailbox_id   bigint      not null,
  to_email     text        not null,
  subject      text        not null,
  html         text        not null,
  from_name    text        not null,
  from_email   text        not null,
  type         text        not null,
  priority     text        not null default 'normal' check (priority in ('low', 'normal', 'high', 'urgent')),
  status       text        not null default 'queued' check (status in ('queued', 'processing', 'sent', 'failed')),
  scheduled_at timestamptz,                             -- null: at once
  retry_count  integer     not null default 0,
  max_retries  integer     not null default 3,
  last_error   text,
  created_at   timestamptz not null default now()
);
create index if not exists email_queue_queued on email_queue (id) where status = 'queued';
create index if not exists email_queue_processing on email_queue (id) where status = 'processing';

-- What is added to the application's schema: which rows were moved, and the message that each belongs to.
create table if not exists email_queue_messages (
  email_id   bigint primary key references email_queue on delete cascade,
  message_id uuid   not null                            -- symphony.messenger_messages.id
);

-- A row that anybody sets back to queued belongs to nobody: the cron job may take it, or the mover again.
create or replace function email_queue_requeued() returns trigger language plpgsql as $$
begin
  delete from email_queue_messages where email_id = new.id;
  return null;
end $$;
create or replace trigger email_queue_requeued after update of status on email_queue
  for each row when (new.status = 'queued') execute function email_queue_requeued();
