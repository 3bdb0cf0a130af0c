-- Ends messages $1, which nobody has, as cancelled; $2 mode of the history, $3 name of the transport.
select symphony.messenger_end($1::uuid[], 'cancelled', $2::text, $3::text)
