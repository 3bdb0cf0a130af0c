-- What the server is, before anything of ours is there.
select pg_catalog.current_setting('server_version_num')::integer,
  pg_catalog.current_setting('server_version'),
  pg_catalog.pg_is_in_recovery() or pg_catalog.current_setting('transaction_read_only') = 'on',
  pg_catalog.clock_timestamp(),
  pg_catalog.current_setting('fsync') = 'on',
  pg_catalog.current_setting('full_page_writes') = 'on',
  pg_catalog.current_setting('synchronous_commit'),
  coalesce((select s.ssl from pg_catalog.pg_stat_ssl s where s.pid = pg_catalog.pg_backend_pid()), false),
  (select pg_catalog.count(*)::integer from pg_catalog.pg_stat_activity a where a.backend_type = 'client backend'),
  pg_catalog.current_setting('max_connections')::integer,
  current_user::text
