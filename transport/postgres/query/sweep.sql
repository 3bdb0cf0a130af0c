-- Takes back what workers held whose leases ran out; $1 mode of the history, $2 name of the transport, $3 also that of workers nobody knows.
select symphony.messenger_sweep($1::text, $2::text, $3::boolean)
