-- All subscriptions, and the number of what they are now.
select number, message_type, stamps from symphony.messenger_subscribed()
