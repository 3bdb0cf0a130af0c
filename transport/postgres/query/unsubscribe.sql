-- Ends the subscription of $2 to type $1, and answers whether there was one. Senders learn of it by the number.
with gone as (
  delete from symphony.messenger_subscriptions where message_type = $1::text and subscriber = $2::text returning 1),
counted as (
  update symphony.messenger_state set number = number + 1 where name = 'subscriptions' and exists (select from gone))
select count(*) from gone
