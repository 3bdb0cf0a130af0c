-- Cancels message $1; $2 mode of the history, $3 name of the transport.
select symphony.messenger_cancel($1::uuid, $2::text, $3::text)
