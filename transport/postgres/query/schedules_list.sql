-- Lists schedules: of the owner $1, of the message type $2, with the tag $3, after the name $4, $5 at most; with those that were dropped if $6.
select null::timestamptz, null::timestamptz,
  s.name, s.owner, s.kind, s.expression, s.timezone, s.anchor_at, s.message_type, s.content_type, s.queue_name, s.stamps::text, s.body, s.missed,
  (extract(epoch from s.missed_window) * 1000)::bigint, s.overlap, (extract(epoch from s.jitter) * 1000)::bigint, s.from_at, s.until_at, s.excluded::text, s.max_runs,
  s.enabled, s.next_run_at, s.last_tick_at, s.last_run_at, s.run_count, s.missed_count, s.skipped_count, array_to_string(s.last_messages, ','), s.last_error, s.declared,
  s.edited_at, s.dropped_at, s.created_at, s.updated_at,
  null::text
from symphony.messenger_schedules s
where ($1::text is null or s.owner = $1) and ($2::text is null or s.message_type = $2) and ($3::text is null or s.stamps -> 'tags' ? $3)
  and s.name > $4::text and ($6::boolean or s.dropped_at is null)
order by s.name limit $5::bigint
