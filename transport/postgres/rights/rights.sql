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
