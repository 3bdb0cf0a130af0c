-- Makes and drops partitions of the history, which is kept for $1 milliseconds.
select symphony.messenger_partition($1::bigint * interval '1 millisecond')
