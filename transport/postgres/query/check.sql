-- The version of the schema, the oldest that its programs may have, and whether row level security hides all messages from this user, who
-- would wait for them for ever.
select coalesce(max(version), 0), coalesce(max(oldest_compatible), 0),
  coalesce(row_security_active(to_regclass('symphony.messenger_messages')::oid), false) and not exists (
    select from pg_policy p where p.polrelid = to_regclass('symphony.messenger_messages')
      and exists (select from unnest(p.polroles) r where case when r = 0 then true else pg_has_role(r, 'USAGE') end))
from symphony.messenger_migrations
