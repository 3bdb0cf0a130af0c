-- Pauses $2, a queue or a type ($1), for $3. A pause that is there already stays as it is; one that is ending goes on.
with paused as (
  insert into symphony.messenger_pauses as p (kind, name, paused_at, paused_by) values ($1::text, $2::text, symphony.clock(), $3::text)
  on conflict (kind, name) do update set resumed_at = null, paused_at = excluded.paused_at, paused_by = excluded.paused_by where p.resumed_at is not null
  returning 1)
select count(*) from paused
