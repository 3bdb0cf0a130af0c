-- May the user vacuum the tables of messages, and how many work.
select pg_catalog.pg_has_role(c.relowner, 'USAGE')
    or pg_catalog.current_setting('server_version_num')::integer >= 170000 and pg_catalog.has_table_privilege(c.oid, case
      when pg_catalog.current_setting('server_version_num')::integer >= 170000 then 'MAINTAIN' else 'SELECT' end),
  (select pg_catalog.count(*)::integer from symphony.messenger_workers w where w.alive_until > symphony.clock())
from pg_catalog.pg_class c
where c.oid = 'symphony.messenger_messages'::pg_catalog.regclass
