-- Tells of the queues $2 on channel $1.
select pg_catalog.pg_backend_pid(), pg_catalog.count(pg_catalog.pg_notify($1, q)) from pg_catalog.unnest($2::text[]) q
