-- takes back what a worker held whose lease ran out: ?1 worker
update messenger_messages set status = 'pending', crash_count = crash_count + 1, locked_by = null, locked_at = null
where locked_by = ?1 and status = 'processing'
returning seq, queue_name, message_type, cancel_requested
