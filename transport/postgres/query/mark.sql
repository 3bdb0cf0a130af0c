-- Marks messages $1, which are being handled, as cancelled.
with marked as (update symphony.messenger_messages m set cancel_requested = true where m.id = any ($1::uuid[]) and m.token is not null returning 1)
select count(*) from marked
