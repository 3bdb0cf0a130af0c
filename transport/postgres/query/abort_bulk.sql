-- Asks whoever runs bulk $1 to stop, and ends it when nobody does.
update symphony.messenger_bulks b set aborted = true, state = case when b.held_until <= c.now then 'aborted' else b.state end,
  finished_at = case when b.held_until <= c.now then c.now end
from (select symphony.clock() as now) c where b.id = $1::uuid and b.state = 'running'
