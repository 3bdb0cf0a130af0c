-- Ends messages that expired while they waited, $1 at most, and answers how many there were.
select symphony.messenger_end(array(
  select m.id from symphony.messenger_messages m where m.expires_at <= (select symphony.clock()) and m.token is null order by m.expires_at limit $1::integer),
  'expired', $2::text, $3::text)
