-- The first ready message of each priority of queue $1, of those behind $2 and up to $3; and how many milliseconds the server took so far.
select p.priority, (select r.seq from symphony.messenger_messages r
  where r.queue_name = $1::text and r.priority = p.priority and r.status = 'pending' and r.waiting_for is null
    and r.seq > $2::bigint and r.seq <= $3::bigint order by r.seq limit 1) as seq,
  (extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp()) * 1000)::double precision as took
from generate_series(1, 10) as p(priority)
