-- ?1 identity, ?2 now, ?3 end of the lease, ?4 lease, ?5 JSON array of the queues, in the order of their names. A claim leaves out those of which the worker
-- has as many as it may
insert into messenger_workers (identity, started_at, alive_until, lease, queues) values (?1, ?2, ?3, ?4, ?5)
on conflict (identity) do update set alive_until = max(alive_until, excluded.alive_until), lease = excluded.lease,
  queues = case when queues = excluded.queues then queues else (select json_group_array(value) from (
    select value from json_each(messenger_workers.queues) union select value from json_each(excluded.queues) order by 1)) end
returning worker
