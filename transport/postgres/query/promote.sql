-- Makes messages claimable that have become due, $1 at most.
select symphony.messenger_promote($1::integer)
