-- What keeps dead rows of this database, as far as this user may see it (all, with pg_read_all_stats): the 20 that are oldest, those of a second or more.
select kind, coalesce(name, ''), coalesce(pid, 0), coalesce(state, ''), coalesce(ceil(extract(epoch from age) * 1000), 0)::bigint, coalesce(held, 0)::bigint,
  coalesce(left(query, 400), ''), coalesce(ours, false)
from (
  select 'transaction' as kind, a.application_name as name, a.pid, a.state, pg_catalog.clock_timestamp() - a.xact_start as age,
    pg_catalog.age(coalesce(a.backend_xmin, a.backend_xid)) as held, a.query,
    a.usename = current_user and a.application_name = pg_catalog.current_setting('application_name') as ours
  from pg_catalog.pg_stat_activity a
  where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid() and a.xact_start < pg_catalog.clock_timestamp() - interval '1 second'
    and (a.backend_xmin is not null or a.backend_xid is not null)
  union all
  select 'prepared', x.gid, null, 'prepared', pg_catalog.clock_timestamp() - x.prepared, pg_catalog.age(x.transaction), null, false
  from pg_catalog.pg_prepared_xacts x where x.database = pg_catalog.current_database()
  union all
  select 'replica', s.slot_name::text, s.active_pid, case when s.active then 'active' else 'inactive' end, null,
    greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin)), null, false
  from pg_catalog.pg_replication_slots s where s.xmin is not null
) h order by age desc nulls last, held desc limit 20
