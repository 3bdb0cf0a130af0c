-- What SQL users call and look at.

create function symphony.messenger_refuse(_what text, _value text, _rule text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  raise exception using errcode = '22023', message = format('invalid %s %s: must be %s', _what, coalesce(to_json(left(_value, 80))::text, 'null'), _rule);
end $$;
comment on function symphony.messenger_refuse(text, text, text) is 'Raises the error for a value that breaks a rule.';

create function symphony.messenger_plain(_text text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$ select _text !~ E'[\\u0001-\\u001f\\u007f-\\u009f]' $$;
comment on function symphony.messenger_plain(text) is 'Whether a text has no control characters.';

create function symphony.messenger_new_id() returns uuid
language sql volatile set search_path = pg_catalog, pg_temp as $$
  -- RFC 9562: the milliseconds in front of random bits, and the version, whose 4 becomes 7 by two bits.
  select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing
    substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;
comment on function symphony.messenger_new_id() is 'A UUID, version 7.';

create function symphony.messenger_copy_id(_id uuid, _subscriber text) returns uuid
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case when _subscriber = '' then _id else (
    select encode(set_byte(set_byte(b, 6, get_byte(b, 6) & 15 | 112), 8, get_byte(b, 8) & 63 | 128), 'hex')::uuid
    from (select overlay(uuid_send(_id) placing
      substring(sha256(uuid_send(_id) || convert_to(_subscriber, 'UTF8')) from 1 for 10) from 7 for 10) as b) s) end
$$;
comment on function symphony.messenger_copy_id(uuid, text) is 'The id of the copy of a message that belongs to a subscriber.';

create function symphony.messenger_milliseconds(_d interval) returns bigint
language sql immutable set search_path = pg_catalog, pg_temp as $$ select ceil(extract(epoch from _d) * 1000)::bigint $$;
comment on function symphony.messenger_milliseconds(interval) is 'Rounded up.';

create function symphony.messenger_check_labels(_headers jsonb, _tags text[]) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  _name text;
  _value text;
  _bytes integer := 0;
  _count integer := 0;
begin
  if _headers is not null and jsonb_typeof(_headers) <> 'object' then
    perform symphony.messenger_refuse('headers', _headers::text, 'a JSON object');
  end if;
  for _name, _value in select e.key, case when jsonb_typeof(e.value) = 'string' then e.value #>> '{}' end from jsonb_each(_headers) e loop
    _count := _count + 1;
    if (_name collate "C") !~ '^[a-z0-9][a-z0-9-]{0,63}$' then
      perform symphony.messenger_refuse('header name', _name, '[a-z0-9][a-z0-9-]{0,63}');
    elsif _name ~ '^(symphony|webhook|ce)-' then
      perform symphony.messenger_refuse('header name', _name, 'a name that does not begin with a reserved symphony-, webhook- or ce-');
    elsif _value is null then
      perform symphony.messenger_refuse('value of header ' || _name, _headers ->> _name, 'a string');
    elsif octet_length(_value) > 4096 then
      perform symphony.messenger_refuse('value of header ' || _name, _value, 'at most 4 KiB');
    elsif not symphony.messenger_plain(_value) then
      perform symphony.messenger_refuse('value of header ' || _name, _value, 'UTF-8 without control characters');
    end if;
    _bytes := _bytes + octet_length(_name) + octet_length(_value);
  end loop;
  if _count > 64 then
    perform symphony.messenger_refuse('number of headers', _count::text, 'at most 64');
  elsif _bytes > 16384 then
    perform symphony.messenger_refuse('size of headers', _bytes::text, 'at most 16 KiB together');
  elsif cardinality(_tags) > 16 then
    perform symphony.messenger_refuse('number of tags', cardinality(_tags)::text, 'at most 16');
  end if;
  foreach _value in array coalesce(_tags, '{}') loop
    if _value is null or octet_length(_value) not between 1 and 64 then
      perform symphony.messenger_refuse('tag', _value, '1 to 64 bytes');
    elsif not symphony.messenger_plain(_value) then
      perform symphony.messenger_refuse('tag', _value, 'UTF-8 without control characters');
    end if;
  end loop;
end $$;
comment on function symphony.messenger_check_labels(jsonb, text[]) is 'Refuses headers and tags that break a rule.';

create function symphony.dispatch_bytes(type text, body bytea, content_type text default 'application/octet-stream', queue text default 'default',
  priority integer default 5, delay interval default null, at timestamptz default null, expires interval default null,
  max_retries bigint default null, idempotency_key text default null, key_window interval default '24 hours', when_taken text default 'keep',
  group_key text default null, headers jsonb default null, tags text[] default null, wake boolean default false,
  out id uuid, out duplicate boolean, out replaced boolean, out copies uuid[]) returns record
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  _sub record;
  _stamps jsonb;
  _most bigint := (select s.number from symphony.messenger_state s where s.name = 'max_body');
  _new uuid := symphony.messenger_new_id();
  _names text[] := '{}';
  _ids uuid[] := '{}';
  _queues text[] := '{}';
  _priorities smallint[] := '{}';
  _ats timestamptz[] := '{}';
  _delays bigint[] := '{}';
  _expiries bigint[] := '{}';
  _retries bigint[] := '{}';
  _groups text[] := '{}';
  _headers jsonb[] := '{}';
  _tags text[] := '{}';
  _holders uuid[];
  _holder uuid;
  _open integer[];
  _again integer[];
  _n integer;
begin
  priority := coalesce(priority, 5);
  queue := coalesce(queue, 'default');
  content_type := coalesce(content_type, 'application/octet-stream');
  when_taken := coalesce(when_taken, 'keep');
  if type is null or (type collate "C") !~ '^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$' then
    perform symphony.messenger_refuse('message type', type, '[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}');
  elsif (queue collate "C") !~ '^[a-z0-9][a-z0-9_.-]{0,62}$' then
    perform symphony.messenger_refuse('queue', queue, '[a-z0-9][a-z0-9_.-]{0,62}');
  elsif priority not between 1 and 10 then
    perform symphony.messenger_refuse('priority', priority::text, 'between 1 and 10');
  elsif octet_length(group_key) not between 1 and 255 then
    perform symphony.messenger_refuse('group', group_key, '1 to 255 bytes');
  elsif octet_length(idempotency_key) not between 1 and 255 then
    perform symphony.messenger_refuse('idempotency key', idempotency_key, '1 to 255 bytes');
  elsif delay < interval '0' then
    perform symphony.messenger_refuse('delay', delay::text, 'zero or more');
  elsif expires <= interval '0' then
    perform symphony.messenger_refuse('expiry', expires::text, 'more than zero');
  elsif when_taken not in ('keep', 'replace', 'debounce') then
    perform symphony.messenger_refuse('when_taken', when_taken, 'keep, replace or debounce');
  elsif when_taken <> 'keep' and idempotency_key is null then
    perform symphony.messenger_refuse('idempotency key', null, 'there for when_taken');
  elsif key_window < interval '0' then
    perform symphony.messenger_refuse('idempotency window', key_window::text, 'zero or more');
  elsif extract(epoch from greatest(delay, expires, key_window)) > 9000000000 then
    perform symphony.messenger_refuse('delay, expiry or window', greatest(delay, expires, key_window)::text, 'at most 285 years');
  elsif not isfinite(at) or at < '1970-01-01 00:00Z' or at >= '10000-01-01 00:00Z' then
    perform symphony.messenger_refuse('time', at::text, 'between the years 1970 and 9999');
  elsif max_retries < 0 then
    perform symphony.messenger_refuse('max retries', max_retries::text, 'zero or more');
  elsif octet_length(content_type) > 255 then
    perform symphony.messenger_refuse('content type', content_type, 'at most 255 bytes');
  elsif not symphony.messenger_plain(content_type) then
    perform symphony.messenger_refuse('content type', content_type, 'UTF-8 without control characters');
  elsif body is null then
    perform symphony.messenger_refuse('body', null, 'bytes');
  elsif octet_length(body) > _most then
    perform symphony.messenger_refuse('body of ' || octet_length(body) || ' bytes', '', 'at most ' || _most || ' bytes');
  elsif content_type = 'application/json' and symphony.messenger_json(content_type, body) is null then
    perform symphony.messenger_refuse('body', left(encode(body, 'escape'), 80), 'JSON, as its content type says');
  end if;
  if when_taken = 'debounce' then
    key_window := interval '0'; -- what comes after its end is another message
  end if;
  at := date_trunc('milliseconds', at + interval '999 microseconds'); -- rounded up
  perform symphony.messenger_check_labels(headers, tags);
  for _sub in
    select s.subscriber, s.stamps from symphony.messenger_subscriptions s where s.message_type = type
    union all select '', '{}' where not exists (select from symphony.messenger_subscriptions s where s.message_type = type)
    order by 1
  loop
    _stamps := case when _sub.subscriber = '' then '{}' else _sub.stamps end;
    _names := _names || _sub.subscriber;
    _ids := _ids || symphony.messenger_copy_id(_new, _sub.subscriber);
    _queues := _queues || coalesce(_stamps ->> 'queue', queue);
    _priorities := _priorities || coalesce((_stamps ->> 'priority')::smallint, priority::smallint);
    _groups := _groups || coalesce(_stamps ->> 'group', group_key);
    _ats := _ats || case when _stamps ? 'delay' then null else at end;
    _delays := _delays || coalesce(ceil((_stamps ->> 'delay')::numeric / 1000000)::bigint, symphony.messenger_milliseconds(delay), 0);
    _expiries := _expiries || coalesce(ceil((_stamps ->> 'expires')::numeric / 1000000)::bigint, symphony.messenger_milliseconds(expires), 0);
    _retries := _retries || coalesce((_stamps ->> 'max_retries')::bigint, max_retries);
    _headers := _headers || nullif(coalesce(headers, '{}') || coalesce(_stamps -> 'headers', '{}'), '{}');
    _tags := _tags || nullif(coalesce(tags, '{}') || coalesce(array(select jsonb_array_elements_text(_stamps -> 'tags')), '{}'), '{}')::text;
  end loop;
  _n := cardinality(_ids);
  _holders := array_fill(null::uuid, array[_n]);
  for _sub in
    select a.n, a.holder from symphony.messenger_accept(null, _ids, array_fill(type, array[_n]), _names, _queues, _priorities, _ats, _delays, _expiries,
      _retries, array_fill(idempotency_key, array[_n]), array_fill(coalesce(symphony.messenger_milliseconds(key_window), 0), array[_n]), _groups,
      _headers, _tags, array_fill(0::bigint, array[_n]), array_fill(content_type, array[_n]), array_fill(body, array[_n])) a
  loop
    _holders[_sub.n] := _sub.holder;
  end loop;
  replaced := false;
  _open := array(select n from generate_subscripts(_holders, 1) n where when_taken <> 'keep' and _holders[n] is not null);
  for _try in 1..20 loop -- others may take the keys meanwhile
    exit when _open = '{}';
    _again := '{}';
    for _sub in select o.n from unnest(_open) as o(n) order by _holders[o.n] loop -- as messenger_replace locks them
      _n := _sub.n;
      if 'replaced' = (select r.fate from symphony.messenger_replace(_holders[_n:_n], array[when_taken], _ats[_n:_n], _delays[_n:_n], _priorities[_n:_n],
          _retries[_n:_n], _headers[_n:_n], _tags[_n:_n], array[0::bigint], array[content_type], array[body]) r) then
        replaced := true;
      else
        _again := _again || _n;
      end if;
    end loop;
    _open := '{}';
    for _sub in select o.n from unnest(_again) as o(n) order by o.n loop
      _n := _sub.n;
      select a.holder into _holder from symphony.messenger_accept(null, _ids[_n:_n], array[type], _names[_n:_n], _queues[_n:_n], _priorities[_n:_n], _ats[_n:_n],
        _delays[_n:_n], _expiries[_n:_n], _retries[_n:_n], array[idempotency_key], array[coalesce(symphony.messenger_milliseconds(key_window), 0)], _groups[_n:_n],
        _headers[_n:_n], _tags[_n:_n], array[0::bigint], array[content_type], array[body]) a;
      if not found then
        _holders[_n] := null; -- it is stored
      elsif _holder <> _holders[_n] then
        _holders[_n] := _holder;
        _open := _open || _n;
      end if;
    end loop;
  end loop;
  id := coalesce(_holders[1], _ids[1]);
  copies := array(select coalesce(_holders[n], _ids[n]) from generate_subscripts(_ids, 1) n where _names[n] <> '' order by n);
  duplicate := array_position(_holders, null) is null;
  if wake then
    perform symphony.wake(q) from unnest(_queues) q group by q;
  end if;
end $$;
comment on function symphony.dispatch_bytes(text, bytea, text, text, integer, interval, timestamptz, interval, bigint, text, interval, text, text, jsonb, text[], boolean) is
  'Sends a message with any bytes as its body, in the transaction of the caller. See dispatch.';

create function symphony.dispatch(type text, payload json default '{}', queue text default 'default',
  priority integer default 5, delay interval default null, at timestamptz default null, expires interval default null,
  max_retries bigint default null, idempotency_key text default null, key_window interval default '24 hours', when_taken text default 'keep',
  group_key text default null, headers jsonb default null, tags text[] default null, wake boolean default false,
  out id uuid, out duplicate boolean, out replaced boolean, out copies uuid[]) returns record
language sql set search_path = pg_catalog, pg_temp as $$
  select d.id, d.duplicate, d.replaced, d.copies from symphony.dispatch_bytes(type, convert_to(payload::text, 'UTF8'), 'application/json', queue, priority,
    delay, at, expires, max_retries, idempotency_key, key_window, when_taken, group_key, headers, tags, wake) d
$$;
comment on function symphony.dispatch(text, json, text, integer, interval, timestamptz, interval, bigint, text, interval, text, text, jsonb, text[], boolean) is
  'Sends a message in the transaction of the caller, by the same rules as Dispatch in Go: its id, whether one with its idempotency key was there already and has been given this content, and the ids of the copies for subscribers. when_taken is what to do when another message has the key: keep it, replace its content if it waits, or debounce, which also makes it wait for the delay again. The text of the payload is kept as it is. Workers find it with their next poll, within 250 ms; with wake they are told at the commit, which takes a lock that all transactions with a NOTIFY share.';

create function symphony.wake(queue text default 'default') returns void
language sql set search_path = pg_catalog, pg_temp as $$ select pg_notify('symphony.wake', queue) $$;
comment on function symphony.wake(text) is 'Tells workers that there may be something in a queue. Best called after the commit, on its own.';

create function symphony.messenger_cancel(_id uuid, _history text, _transport text) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  _token bigint;
begin
  select m.token into _token from symphony.messenger_messages m where m.id = _id for update;
  if not found then
    return null;
  elsif _token is null then
    perform symphony.messenger_end(array[_id], 'cancelled', _history, _transport);
    return 'cancelled';
  end if;
  update symphony.messenger_messages m set cancel_requested = true where m.id = _id;
  return 'processing';
end $$;
comment on function symphony.messenger_cancel(uuid, text, text) is 'Cancels a message; see cancel.';

create function symphony.cancel(id uuid) returns text
language sql set search_path = pg_catalog, pg_temp as $$ select symphony.messenger_cancel(id, 'full', '') $$;
comment on function symphony.cancel(uuid) is
  'Cancels a message: at once if it waits, which returns cancelled; one that is being handled is marked, its worker learns it with its next heartbeat, and the answer is processing. Null: there is no live message with the id.';

create function symphony.messenger_type_kind(_type oid) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  _of record;
  _kind text := 'own';
begin
  loop
    select t.oid, t.typbasetype, t.typelem, t.typlen into _of from pg_type t where t.oid = _type;
    if _of.oid < 16384 then -- types that come with the server
      return 'built-in';
    elsif _of.typbasetype <> 0 then -- a domain is like the type below it
      _type := _of.typbasetype;
    elsif _of.typelem <> 0 and _of.typlen = -1 and _kind = 'own' then
      _type := _of.typelem;
      _kind := 'array';
    else
      return _kind;
    end if;
  end loop;
end $$;
comment on function symphony.messenger_type_kind(oid) is 'Whether values of a type have no code of somebody''s: built-in, own, or an array of own.';

create function symphony.dispatch_row() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  _row json;
  _columns text;
begin
  if tg_nargs not between 1 and 3 then
    raise exception 'trigger %: dispatch_row takes a message type, and perhaps a queue and the column of the idempotency key', tg_name;
  elsif tg_nargs > 2 and not exists (select from pg_attribute c
    where c.attrelid = tg_relid and c.attname = tg_argv[2] and c.attnum > 0 and not c.attisdropped) then
    raise exception 'trigger %: table % has no column %', tg_name, tg_table_name, tg_argv[2];
  elsif not exists (select from pg_attribute c where c.attrelid = tg_relid and c.attnum > 0 and c.atttypid >= 16384 and not c.attisdropped) then
    _row := row_to_json(new);
  else
    -- Who inserts may have no rights here: then this runs with those of the owner. A type of somebody's may have a cast to JSON that is a
    -- function of his, and must not run so. The stars are for columns that have the same name. The text of a value is made by the type itself, which only a superuser can define.
    select string_agg(format(case symphony.messenger_type_kind(c.atttypid)
        when 'built-in' then '($1).%1$I as %1$I'
        when 'own' then 'case when num_nulls(($1).%1$I) = 0 then concat(($1).%1$I) end as %1$I'
        else 'case when num_nulls(($1).%1$I) = 0 then array(select case when num_nulls(e.*) = 0 then concat(e.*) end from unnest(($1).%1$I) e) end as %1$I'
      end, c.attname), ', ' order by c.attnum)
    into _columns from pg_attribute c where c.attrelid = tg_relid and c.attnum > 0 and not c.attisdropped;
    execute format('select row_to_json(r.*) from (select %s) r', _columns) into _row using new;
  end if;
  perform symphony.dispatch(tg_argv[0], _row, queue => case when tg_nargs > 1 then tg_argv[1] end,
    idempotency_key => case when tg_nargs > 2 then _row ->> tg_argv[2] end);
  return null;
end $$;
comment on function symphony.dispatch_row() is
  'For a trigger AFTER INSERT … FOR EACH ROW on a table of yours: sends the row as a message in the same transaction. Arguments: message type, queue, and the column whose value is the idempotency key. Values of types that do not come with the server are sent as text, arrays of them as arrays of text.';

-- Views for people.

create view symphony.messenger_counts as
select queue_name, message_type, sum(due - processing)::bigint as pending, sum(scheduled)::bigint as scheduled, sum(processing)::bigint as processing,
  sum(completed)::bigint as completed, sum(failed)::bigint as failed, sum(cancelled)::bigint as cancelled, sum(expired)::bigint as expired,
  sum(no_handler)::bigint as no_handler
from (
  select queue_name, message_type, due, scheduled, 0 as processing, completed, failed, cancelled, expired, no_handler from symphony.messenger_stats
  union all
  select queue_name, message_type, due, scheduled, 0, completed, failed, cancelled, expired, no_handler from symphony.messenger_stats_deltas
  union all
  -- Counting claims when they are made would be a tenth of their work; what workers have is never much.
  select queue_name, message_type, 0, 0, count(*), 0, 0, 0, 0, 0 from symphony.messenger_messages where locked_by is not null group by 1, 2
) s group by 1, 2;
comment on view symphony.messenger_counts is 'How many messages of each queue and type are in each state, exact at every commit; ends count for ever.';

create view symphony.messenger_queue_depth as
select queue_name, sum(pending)::bigint as pending, sum(scheduled)::bigint as scheduled, sum(processing)::bigint as processing, sum(failed)::bigint as failed
from symphony.messenger_counts group by 1;
comment on view symphony.messenger_queue_depth is 'How much waits in each queue.';

create function symphony.messenger_json(_content_type text, _body bytea) returns json
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if _content_type <> 'application/json' then
    return null;
  end if;
  return convert_from(_body, 'UTF8')::json;
exception when others then
  return null; -- not text, or not JSON: it is shown as bytes
end $$;
comment on function symphony.messenger_json(text, bytea) is 'A body as JSON, or null where it is none.';

create view symphony.messenger_overview as
select id, status, queue_name, message_type, subscriber, waiting_for, priority, created_at, scheduled_at, available_at, expires_at,
  null::timestamptz as finished_at, retry_count, max_retries, crash_count, snooze_count, fence,
  (select w.identity from symphony.messenger_workers w where w.worker = m.locked_by) as locked_by, locked_at,
  (select w.alive_until from symphony.messenger_workers w where w.worker = m.locked_by) as lock_expires_at,
  idempotency_key, group_key, null::text as reason, last_error, error_class, attempts, headers, tags, version, content_type,
  symphony.messenger_json(content_type, body) as body_json, body
from symphony.messenger_messages m
union all
select id, 'failed', queue_name, message_type, subscriber, null, priority, created_at, scheduled_at, null, expires_at,
  failed_at, retry_count, max_retries, crash_count, snooze_count, fence, null, null, null,
  idempotency_key, group_key, reason, error, error_class, attempt_log, headers, tags, version, content_type,
  symphony.messenger_json(content_type, body), body
from symphony.messenger_failed_messages
union all
select id, status, queue_name, message_type, subscriber, null, priority, created_at, scheduled_at, available_at, expires_at,
  finished_at, retry_count, max_retries, crash_count, snooze_count, fence, locked_by, locked_at, null,
  idempotency_key, group_key, null, last_error, error_class, attempts, headers, tags, version, content_type,
  symphony.messenger_json(content_type, body), body
from symphony.messenger_history;
comment on view symphony.messenger_overview is 'Every message in whatever state, with its worker and lease while it is handled, and its body as JSON where it is JSON.';

create view symphony.messenger_failed_summary as
select fingerprint, message_type, error_class, reason, count(*) as count, min(failed_at) as first_failed_at, max(failed_at) as last_failed_at,
  max(error) as example
from symphony.messenger_failed_messages group by 1, 2, 3, 4;
comment on view symphony.messenger_failed_summary is 'Dead letters that failed alike.';
