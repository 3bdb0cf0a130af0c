-- ?1 kind, ?2 name, ?3 now, ?4 by whom; a pause that is there already stays as it is, one that is ending goes on
insert into messenger_pauses (kind, name, paused_at, paused_by) values (?1, ?2, ?3, ?4)
on conflict (kind, name) do update set resumed_at = null, paused_at = excluded.paused_at, paused_by = excluded.paused_by where resumed_at is not null
