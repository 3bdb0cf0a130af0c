-- The tables of schema $1 with their partitions and indexes.
select c.relname::text, sum(pg_catalog.pg_total_relation_size(p.oid))::bigint, sum(greatest(p.rows, 0))::bigint, sum(pg_catalog.pg_stat_get_dead_tuples(p.oid))::bigint,
  max(greatest(pg_catalog.pg_stat_get_last_vacuum_time(p.oid), pg_catalog.pg_stat_get_last_autovacuum_time(p.oid))), (case when c.relkind = 'p' then count(*) else 0 end)::integer
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral (
  select l.oid, pg_catalog.pg_stat_get_live_tuples(l.oid) as rows from pg_catalog.pg_class l where c.relkind = 'r' and l.oid = c.oid
  union all
  select i.inhrelid, pg_catalog.pg_stat_get_live_tuples(i.inhrelid) from pg_catalog.pg_inherits i where c.relkind = 'p' and i.inhparent = c.oid) p
where n.nspname = $1::text and c.relkind in ('r', 'p') and not c.relispartition
group by c.oid, c.relname, c.relkind order by 2 desc
