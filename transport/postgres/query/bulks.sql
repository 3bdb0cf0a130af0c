select document::text, state, aborted, created_at, updated_at, finished_at from symphony.messenger_bulks order by created_at desc, id desc limit 100
