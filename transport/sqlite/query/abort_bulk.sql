-- asks whoever runs bulk ?1 to stop, and ends it at ?2 when nobody does
update messenger_bulks set aborted = 1, state = case when held_until <= ?2 then 'aborted' else state end,
  finished_at = case when held_until <= ?2 then ?2 end
where id = ?1 and state = 'running'
