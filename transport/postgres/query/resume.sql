-- Ends the pause of $2, a queue or a type ($1), and answers whether there was one.
with gone as (
  delete from symphony.messenger_pauses where kind = $1::text and kind = 'queue' and name = $2::text returning 1),
ended as (
  update symphony.messenger_pauses set resumed_at = symphony.clock() where kind = $1 and kind = 'type' and name = $2 and resumed_at is null returning 1)
select (select count(*) from gone) + (select count(*) from ended)
