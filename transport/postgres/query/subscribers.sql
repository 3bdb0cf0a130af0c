select stamps::text, created_at, last_seen from symphony.messenger_subscriptions order by message_type, subscriber
