select n, holder::pg_catalog.text from symphony.messenger_accept($1::pg_catalog.int8, $2::pg_catalog.uuid[], $3::pg_catalog.text[], $4::pg_catalog.text[], $5::pg_catalog.text[], $6::pg_catalog.int2[], $7::pg_catalog.timestamptz[],
  $8::pg_catalog.int8[], $9::pg_catalog.int8[], $10::pg_catalog.int8[], $11::pg_catalog.text[], $12::pg_catalog.int8[], $13::pg_catalog.text[], $14::pg_catalog.text[]::pg_catalog.jsonb[], $15::pg_catalog.text[], $16::pg_catalog.int8[], $17::pg_catalog.text[],
  $18::pg_catalog.bytea[])
