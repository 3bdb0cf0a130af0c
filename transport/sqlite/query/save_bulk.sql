-- stores bulk ?1 in state ?2 with the document ?3, for holder ?4 until ?6, at ?5, unless somebody else has it, or it has ended
insert into messenger_bulks (id, state, document, holder, held_until, created_at, updated_at, finished_at)
values (?1, ?2, ?3, ?4, ?6, ?5, ?5, case when ?2 <> 'running' then ?5 end)
on conflict (id) do update set state = excluded.state, document = excluded.document, holder = excluded.holder, held_until = excluded.held_until,
  updated_at = excluded.updated_at, finished_at = excluded.finished_at
  where state = 'running' and (holder = excluded.holder or held_until <= excluded.updated_at)
returning document, state, aborted, created_at, updated_at, finished_at
