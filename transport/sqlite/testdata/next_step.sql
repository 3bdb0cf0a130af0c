-- What a step of a later release may be like that programs of this one are compatible with. No release has it.
alter table messenger_messages add column region text check (region <> '');
alter table messenger_failed_messages add column region text;
alter table messenger_history add column region text not null default '';
create index messenger_messages_region on messenger_messages (region, seq) where region is not null;
create table messenger_regions (name text primary key, weight integer not null default 1) without rowid;
drop view messenger_queue_depth;
create view messenger_queue_depth as
select queue_name, 'everywhere' as region,
  sum(case when status = 'pending' then count else 0 end) as pending,
  sum(case when status = 'scheduled' then count else 0 end) as scheduled,
  sum(case when status = 'processing' then count else 0 end) as processing,
  sum(case when status = 'failed' then count else 0 end) as failed
from messenger_stats group by queue_name;
update messenger_stats set count = count;
