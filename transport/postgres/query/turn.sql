-- Takes the turn for chore $1, unless somebody had it within the last $2 milliseconds.
update symphony.messenger_state set at = pg_catalog.clock_timestamp()
where name = $1::text and at < pg_catalog.clock_timestamp() - $2::bigint * interval '1 millisecond'
