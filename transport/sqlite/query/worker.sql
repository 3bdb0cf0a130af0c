-- ?1 identity, ?2 now, ?3 end of the lease, ?4 lease
insert into messenger_workers (identity, started_at, alive_until, lease) values (?1, ?2, ?3, ?4)
on conflict (identity) do update set alive_until = max(alive_until, excluded.alive_until), lease = excluded.lease
returning worker, alive_until
