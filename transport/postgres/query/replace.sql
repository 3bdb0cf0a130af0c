select n, fate from symphony.messenger_replace($1::pg_catalog.uuid[], $2::pg_catalog.text[], $3::pg_catalog.timestamptz[], $4::pg_catalog.int8[], $5::pg_catalog.int2[], $6::pg_catalog.int8[],
  $7::pg_catalog.text[]::pg_catalog.jsonb[], $8::pg_catalog.text[], $9::pg_catalog.int8[], $10::pg_catalog.text[], $11::pg_catalog.bytea[])
