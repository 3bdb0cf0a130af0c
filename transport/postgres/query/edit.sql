-- Gives dead letter $1 the body $2 and, unless that is null, the content type $3.
update symphony.messenger_failed_messages set body = $2::bytea, content_type = coalesce($3::text, content_type) where id = $1::uuid returning content_type
