-- Tells of the queues $2 on channel $1. A NOTIFY makes its transaction one that writes, whose commit would wait for the disk: there is nothing to
-- keep, and 200 times a second that held up the commits of those who send.
select pg_catalog.pg_backend_pid(), pg_catalog.count(pg_catalog.pg_notify($1, q))
from pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.unnest($2::text[]) q
