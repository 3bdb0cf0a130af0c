select n, fate from symphony.messenger_settle($1::pg_catalog.uuid[], $2::pg_catalog.int8[], $3::pg_catalog.text[], $4::pg_catalog.int8[], $5::pg_catalog.text[], $6::pg_catalog.text[], $7::pg_catalog.text[], $8::pg_catalog.text[],
  $9::pg_catalog.text[], $10::pg_catalog.text, $11::pg_catalog.text)
