-- Subscriptions that have had no worker for that many seconds.
select message_type, subscriber, owner
from symphony.messenger_subscriptions
where last_seen < symphony.clock() - pg_catalog.make_interval(secs => $1::double precision)
order by last_seen, message_type, subscriber
limit 20
