-- What a step of a later release may be like that programs of this one are compatible with. No release has it.
alter table symphony.messenger_messages add column region text collate "C" check (region <> '');
alter table symphony.messenger_failed_messages add column region text;
alter table symphony.messenger_history add column region text not null default '';
create index messenger_messages_region on symphony.messenger_messages (region, seq) where region is not null;
create table symphony.messenger_regions (name text primary key, weight integer not null default 1);
comment on table symphony.messenger_regions is 'Made up.';
create view symphony.messenger_regions_summary as select name from symphony.messenger_regions;
create or replace function symphony.messenger_plain(_text text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$ select not _text ~ E'[\\u0001-\\u001f\\u007f-\\u009f]' $$;
update symphony.messenger_state set number = number where name = 'max_body';
