select n, holder::text from symphony.messenger_accept($1::bigint, $2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::timestamptz[],
  $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::bigint[], $13::text[], $14::text[]::jsonb[], $15::text[], $16::bigint[], $17::text[],
  $18::bytea[])
