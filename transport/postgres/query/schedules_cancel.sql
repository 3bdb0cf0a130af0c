-- Cancels the messages $1 of ticks before; $2 mode of the history, $3 name of the transport.
select symphony.messenger_cancel_previous($1::uuid[], $2::text, $3::text)
