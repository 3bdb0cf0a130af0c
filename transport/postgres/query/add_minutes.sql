-- Adds to the minute that it is what was done in it.
insert into symphony.messenger_minutes as m (at, queue_name, message_type, completed, retried, failed, other, wait, run)
select date_trunc('minute', c.now), i.queue, i.type, i.completed, i.retried, i.failed, i.other, i.wait::bigint[], i.run::bigint[]
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[])
    as i(queue, type, completed, retried, failed, other, wait, run), (select symphony.clock() as now) c
order by 2, 3
on conflict (at, queue_name, message_type) do update set completed = m.completed + excluded.completed, retried = m.retried + excluded.retried,
  failed = m.failed + excluded.failed, other = m.other + excluded.other, wait = symphony.messenger_add(m.wait, excluded.wait),
  run = symphony.messenger_add(m.run, excluded.run)
