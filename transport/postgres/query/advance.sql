-- Lets the next members of groups run, $1 at most.
select symphony.messenger_advance($1::integer)
