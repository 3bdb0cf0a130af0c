-- Gives waiting messages $1 the priority $2.
with held as materialized (
  select m.id from symphony.messenger_messages m where m.id = any ($1::uuid[]) and m.token is null order by m.id for update)
update symphony.messenger_messages m set priority = $2::smallint from held h where m.id = h.id and m.id = any ($1) returning m.id::text
