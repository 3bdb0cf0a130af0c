-- Notes that worker $1 of the queues $3 lives, whose heartbeats last $2 milliseconds, before it has had a message.
insert into symphony.messenger_workers (identity, started_at, alive_until, lease, queues)
select $1::text, c.now, c.now + ($2::bigint + 500) * interval '1 millisecond', $2 * interval '1 millisecond', array(select q from unnest($3::text[]) q order by 1) from (select symphony.clock() as now) c
on conflict (identity) do nothing
