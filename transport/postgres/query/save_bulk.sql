-- Stores bulk $1 in state $2 with the document $3, for holder $4 and $5 milliseconds, unless somebody else has it, or it has ended.
insert into symphony.messenger_bulks as b (id, state, document, holder, held_until, created_at, updated_at, finished_at)
select $1::uuid, $2::text, $3::text::jsonb, $4::text, c.now + $5::bigint * interval '1 millisecond', c.now, c.now, case when $2 <> 'running' then c.now end
from (select symphony.clock() as now) c
on conflict (id) do update set state = excluded.state, document = excluded.document, holder = excluded.holder, held_until = excluded.held_until,
  updated_at = excluded.updated_at, finished_at = excluded.finished_at
  where b.state = 'running' and (b.holder = excluded.holder or b.held_until <= excluded.updated_at)
returning document::text, state, aborted, created_at, updated_at, finished_at
