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
