-- What must hold when the rights of the roles are given (rights/*.sql): partitions that are made later are closed too, and what an insert
-- into somebody's table runs is safe to run with the rights of the owner.

create or replace function symphony.messenger_partition(_keep interval) returns integer
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

create or replace function symphony.dispatch_row() returns trigger
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
