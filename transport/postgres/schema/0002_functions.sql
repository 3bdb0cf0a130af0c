-- What happens to messages, apart from the three statements that carry the load (query/insert.sql, claim.sql
-- and done.sql). Go and SQL both come through here, so that a rule stands in one place.

create function symphony.messenger_log(log jsonb, attempt jsonb) returns jsonb
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select case when log is null then jsonb_build_array(attempt)
    when jsonb_array_length(log) >= 10 then (log - 2) || jsonb_build_array(attempt)
    else log || jsonb_build_array(attempt) end
$$;
comment on function symphony.messenger_log(jsonb, jsonb) is 'Adds a failed attempt and keeps the first 2 and the last 8.';

create function symphony.messenger_subscribed() returns table (number bigint, message_type text, stamps text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select st.number, s.message_type, s.stamps::text
  from symphony.messenger_state st left join symphony.messenger_subscriptions s on true
  where st.name = 'subscriptions' order by s.message_type, s.subscriber
$$;
comment on function symphony.messenger_subscribed() is 'All subscriptions, and the number of what they are now: one statement, both are of the same moment.';

-- messenger_accept stores messages, one for each element of its arrays. It returns those that were not
-- stored because another message has their key, and which. A message that is there already is no duplicate. Nothing is stored, and the
-- answer is one row of null, when the subscriptions are not those any more that the sender knows.
create function symphony.messenger_accept(_subscriptions bigint, _ids uuid[], _types text[], _subscribers text[], _queues text[], _priorities smallint[],
  _ats timestamptz[], _delays bigint[], _expiries bigint[], _max_retries bigint[], _keys text[], _windows bigint[], _groups text[],
  _headers jsonb[], _tags text[], _versions bigint[], _content_types text[], _bodies bytea[])
returns table (n integer, holder uuid)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _taken bigint[] := '{}';
  _row record;
  _holder uuid;
begin
  if _subscriptions <> (select s.number from symphony.messenger_state s where s.name = 'subscriptions') then
    n := 0;
    return next;
    return;
  end if;
  -- In the order of the keys, so that two who send the same ones do not wait for each other.
  for _row in
    select i.n, i.id, i.type, i.subscriber, i.key, i.lasts, i.body
    from unnest(_ids, _types, _subscribers, _keys, _windows, _bodies) with ordinality as i(id, type, subscriber, key, lasts, body, n)
    where i.key is not null order by i.type, i.subscriber, i.key, i.n
  loop
    loop
      -- A row that is still worth something is not touched: its lock would make the verdict on its message wait for
      -- this transaction, which may be a long one of the user's.
      delete from symphony.messenger_keys k where k.message_type = _row.type and k.subscriber = _row.subscriber and k.key = _row.key
        and not k.live and coalesce(k.expires_at, _now) <= _now; -- not by the index of times, which the planner may like better
      insert into symphony.messenger_keys (message_type, subscriber, key, message_id, expires_at, body_hash)
        values (_row.type, _row.subscriber, _row.key, _row.id, _now + _row.lasts * interval '1 millisecond', sha256(_row.body))
        on conflict do nothing;
      exit when found;
      select k.message_id into _holder from symphony.messenger_keys k
        where k.message_type = _row.type and k.subscriber = _row.subscriber and k.key = _row.key;
      if found then
        _taken := _taken || _row.n;
        if _holder <> _row.id then
          n := _row.n;
          holder := _holder;
          return next;
        end if;
        exit;
      end if;
    end loop;
  end loop;

  with sent as (
    insert into symphony.messenger_messages (id, queue_name, message_type, subscriber, status, waiting_for, priority, created_at, scheduled_at,
      available_at, expires_at, max_retries, idempotency_key, group_key, headers, tags, version, content_type, body)
    select i.id, i.queue, i.type, i.subscriber,
      (case when d.due > _now then 'scheduled' else 'pending' end)::symphony.messenger_status,
      case when i.grp is not null and d.due <= _now then 'group' end,
      i.priority, _now, case when i.delay > 0 then d.due else i.at end, d.due, _now + nullif(i.expiry, 0) * interval '1 millisecond',
      i.max_retries, i.key, i.grp, i.headers, i.tags::text[], i.version, i.content_type, i.body
    from unnest(_ids, _types, _subscribers, _queues, _priorities, _ats, _delays, _expiries, _max_retries, _keys, _groups, _headers, _tags,
        _versions, _content_types, _bodies) with ordinality
      as i(id, type, subscriber, queue, priority, at, delay, expiry, max_retries, key, grp, headers, tags, version, content_type, body, n)
    cross join lateral (select case when i.delay > 0 then _now + i.delay * interval '1 millisecond' else greatest(i.at, _now) end as due) d
    where i.n <> all (_taken)
    order by i.n
    on conflict (id) do nothing
    returning queue_name, message_type, group_key, status, waiting_for),
  woken as (
    insert into symphony.messenger_group_wakes (queue_name, group_key)
    select distinct queue_name, group_key from sent where waiting_for = 'group')
  insert into symphony.messenger_stats_deltas (queue_name, message_type, due, scheduled)
  select queue_name, message_type, count(*) filter (where status = 'pending'), count(*) filter (where status = 'scheduled')
  from sent group by 1, 2;
end $$;
comment on function symphony.messenger_accept(bigint, uuid[], text[], text[], text[], smallint[], timestamptz[], bigint[], bigint[], bigint[], text[],
  bigint[], text[], jsonb[], text[], bigint[], text[], bytea[]) is 'Stores messages; returns those whose idempotency key another message has.';

-- messenger_replace does what a sender wants with messages that have his idempotency keys. One that waits gets the new content, and with debounce the
-- new time: replaced. One that is being handled loses its key, so that the new message can be stored: passed. One that has ended keeps
-- its key as long as that is taken: gone.
create function symphony.messenger_replace(_holders uuid[], _actions text[], _ats timestamptz[], _delays bigint[], _priorities smallint[], _max_retries bigint[],
  _headers jsonb[], _tags text[], _versions bigint[], _content_types text[], _bodies bytea[])
returns table (n integer, fate text)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _new record;
  _old record;
  _due timestamptz;
  _becomes symphony.messenger_status;
  _waits text;
begin
  for _new in
    select i.* from unnest(_holders, _actions, _ats, _delays, _priorities, _max_retries, _headers, _tags, _versions, _content_types, _bodies) with ordinality
      as i(holder, action, at, delay, priority, max_retries, headers, tags, version, content_type, body, n)
    order by i.holder, i.n
  loop
    n := _new.n;
    select m.token, m.status, m.waiting_for, m.queue_name, m.message_type, m.subscriber, m.group_key, m.idempotency_key into _old
      from symphony.messenger_messages m where m.id = _new.holder for update;
    if not found then
      fate := 'gone';
    elsif _old.token is not null then
      fate := 'passed';
      delete from symphony.messenger_keys k where k.message_type = _old.message_type and k.subscriber = _old.subscriber and k.key = _old.idempotency_key
        and k.message_id = _new.holder;
    else
      fate := 'replaced';
      update symphony.messenger_messages m set priority = _new.priority, max_retries = _new.max_retries, headers = _new.headers, tags = _new.tags::text[],
        version = _new.version, content_type = _new.content_type, body = _new.body
        where m.id = _new.holder;
      update symphony.messenger_keys k set body_hash = sha256(_new.body)
        where k.message_type = _old.message_type and k.subscriber = _old.subscriber and k.key = _old.idempotency_key and k.message_id = _new.holder;
      if _new.action = 'debounce' then
        _due := case when _new.delay > 0 then _now + _new.delay * interval '1 millisecond' else greatest(_new.at, _now) end;
        _becomes := case when _due > _now then 'scheduled' else 'pending' end;
        _waits := case when _due <= _now and _old.group_key is not null and not exists (select from symphony.messenger_groups g
          where g.queue_name = _old.queue_name and g.group_key = _old.group_key and g.holder = _new.holder) then 'group' end;
        update symphony.messenger_messages m set available_at = _due, scheduled_at = nullif(_due, _now), status = _becomes, waiting_for = _waits
          where m.id = _new.holder;
        if _waits is not null then
          insert into symphony.messenger_group_wakes (queue_name, group_key) values (_old.queue_name, _old.group_key);
        end if;
        insert into symphony.messenger_stats_deltas (queue_name, message_type, due, scheduled, no_handler)
          values (_old.queue_name, _old.message_type, (_becomes = 'pending')::int - (_old.status = 'pending')::int,
            (_becomes = 'scheduled')::int - (_old.status = 'scheduled')::int, -(coalesce(_old.waiting_for, '') = 'handler')::int);
      end if;
    end if;
    return next;
  end loop;
end $$;
comment on function symphony.messenger_replace(uuid[], text[], timestamptz[], bigint[], smallint[], bigint[], jsonb[], text[], bigint[], text[], bytea[]) is
  'Gives messages that wait the content of others with the same idempotency keys; returns what became of each: replaced, passed or gone.';

-- messenger_settle applies verdicts, and returns the numbers of those that it could apply: the others came too
-- late. A verdict on a message that nobody has, such as that of somebody who cancels it, has no token. It waits 2 s for
-- a transaction in which the handler completes the message.
create function symphony.messenger_settle(_ids uuid[], _tokens bigint[], _outcomes text[], _afters bigint[], _reasons text[],
  _errors text[], _classes text[], _traces text[], _shapes text[], _history text, _transport text)
returns table (n integer, fate text)
language plpgsql
-- Its plans must be good in the sessions of callers too, whatever the tables looked like when they were made. What is off makes
-- the others look so dear that they would be compiled.
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_nestloop = off set jit = off as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
begin
  return query
  with given as materialized (
    select v.*, v.after * interval '1 millisecond' as wait
    from unnest(_ids, _tokens, _outcomes, _afters, _reasons, _errors, _classes, _traces, _shapes) with ordinality
      as v(id, token, outcome, after, reason, error, class, trace, shape, n)),
  -- Locked first: what becomes of a message depends on it, and somebody may be about to mark it as cancelled.
  held as materialized (
    select m.id, m.queue_name, m.message_type, m.subscriber, m.status, m.waiting_for, m.retry_count, m.expires_at, m.cancel_requested,
      m.idempotency_key, m.group_key, m.last_error, m.error_class, m.fingerprint, m.attempts, m.locked_by, g.n, g.outcome, g.wait,
      g.reason, g.error, g.class, g.trace, g.shape
    from given g join symphony.messenger_messages m on m.id = g.id and m.token is not distinct from g.token
    where m.id = any (_ids)
    order by m.id for update of m),
  fates as materialized (
    select h.*,
      case when h.outcome = 'failed' and h.reason in ('crash_loop', 'unknown_type') or h.error is null then 0 else 1 end as failures,
      case
        when h.outcome = 'completed' then 'completed'
        when h.outcome = 'expired' then case when h.retry_count > 0 then 'failed' else 'expired' end
        when h.outcome = 'cancelled' or h.cancel_requested then 'cancelled'
        when h.outcome = 'failed' then 'failed'
        when h.outcome in ('retried', 'snoozed') and _now + h.wait >= h.expires_at then
          case when h.error is not null or h.retry_count > 0 then 'failed' else 'expired' end
        else 'again'
      end as fate
    from held h),
  ends as materialized (
    select f.*, w.identity,
      case when f.fate <> 'again' then f.fate when f.wait > interval '0' then 'scheduled' else 'pending' end::symphony.messenger_status as becomes,
      case when f.error is not null and (f.fate in ('again', 'cancelled') or f.fate = 'failed' and f.failures > 0)
        then symphony.messenger_log(f.attempts, jsonb_strip_nulls(jsonb_build_object('attempt', f.retry_count + 1, 'at', _now, 'worker', w.identity,
          'error', f.error, 'class', f.class, 'trace', nullif(f.trace, ''))))
        else f.attempts end as log,
      case when f.shape is null then f.fingerprint
        else encode(sha256(convert_to(f.message_type, 'UTF8') || decode('00', 'hex') || convert_to(f.class, 'UTF8') || decode('00', 'hex') ||
          convert_to(f.shape, 'UTF8')), 'hex') end as print
    from fates f left join symphony.messenger_workers w on w.worker = f.locked_by),
  again as (
    update symphony.messenger_messages m set status = e.becomes, token = null, locked_by = null, locked_at = null,
      available_at = case when e.becomes = 'scheduled' then _now + e.wait else m.available_at end,
      retry_count = m.retry_count + (e.outcome = 'retried')::int,
      snooze_count = m.snooze_count + (e.outcome = 'snoozed')::int,
      unhandled_count = m.unhandled_count + (e.outcome = 'unhandled')::int,
      waiting_for = case when e.outcome = 'unhandled' and e.becomes = 'scheduled' then 'handler' end,
      last_error = coalesce(e.error, m.last_error), error_class = coalesce(e.class, m.error_class), fingerprint = e.print, attempts = e.log
    from ends e where e.fate = 'again' and m.id = e.id and m.id = any (_ids)),
  gone as (
    delete from symphony.messenger_messages m using ends e where e.fate <> 'again' and m.id = e.id and m.id = any (_ids)
    returning m.*, e.n, e.fate as fate, e.outcome, e.identity, e.reason, e.error, e.class, e.trace, e.failures, e.log, e.print),
  dead as (
    insert into symphony.messenger_failed_messages as old (id, failed_at, created_at, fence, scheduled_at, expires_at, attempts, retry_count,
      snooze_count, crash_count, version, max_retries, priority, transport, queue_name, message_type, subscriber, content_type, reason, error,
      error_class, error_trace, fingerprint, idempotency_key, group_key, attempt_log, headers, tags, body)
    select id, _now, created_at, fence, scheduled_at, expires_at, retry_count + failures, retry_count,
      snooze_count, crash_count, version, max_retries, priority, _transport, queue_name, message_type, subscriber, content_type,
      case when outcome = 'failed' then reason else 'deadline' end,
      coalesce(error, last_error, reason, ''), coalesce(class, error_class, 'error'), nullif(trace, ''), coalesce(print, ''),
      idempotency_key, group_key, log, headers, tags, body
    from gone where fate = 'failed'
    -- One that was sent again after its end may fail again: the later failure counts.
    on conflict (id) do update set seq = excluded.seq, failed_at = excluded.failed_at, created_at = excluded.created_at,
      fence = excluded.fence, scheduled_at = excluded.scheduled_at, expires_at = excluded.expires_at, attempts = excluded.attempts,
      retry_count = excluded.retry_count, snooze_count = excluded.snooze_count, crash_count = excluded.crash_count,
      version = excluded.version, max_retries = excluded.max_retries, priority = excluded.priority, transport = excluded.transport,
      queue_name = excluded.queue_name, message_type = excluded.message_type, subscriber = excluded.subscriber,
      content_type = excluded.content_type, reason = excluded.reason, error = excluded.error, error_class = excluded.error_class,
      error_trace = excluded.error_trace, fingerprint = excluded.fingerprint, idempotency_key = excluded.idempotency_key,
      group_key = excluded.group_key, attempt_log = excluded.attempt_log, headers = excluded.headers, tags = excluded.tags, body = excluded.body
    returning queue_name, message_type, (old.xmax <> 0) as replaced),
  ended as (
    insert into symphony.messenger_history (finished_at, id, created_at, available_at, fence, locked_at, scheduled_at, expires_at, status,
      retry_count, snooze_count, crash_count, version, max_retries, priority, queue_name, message_type, subscriber, content_type, locked_by,
      idempotency_key, group_key, last_error, error_class, attempts, headers, tags, body)
    select _now, id, created_at, available_at, fence, locked_at, scheduled_at, expires_at, fate::symphony.messenger_status,
      retry_count, snooze_count, crash_count, version, max_retries, priority, queue_name, message_type, subscriber, content_type, identity,
      idempotency_key, group_key, coalesce(error, last_error), coalesce(class, error_class), log, headers, tags,
      case when _history <> 'meta' then body end
    from gone where fate <> 'failed' and (_history <> 'off' or fate <> 'completed')),
  released as (
    update symphony.messenger_keys k set live = false
    -- Locked in the order of the keys, as everywhere.
    where k.ctid = any (array(select o.place from (select * from gone where idempotency_key is not null
        order by message_type, subscriber, idempotency_key) g cross join lateral (
        select k.ctid as place from symphony.messenger_keys k
        where k.message_type = g.message_type and k.subscriber = g.subscriber and k.key = g.idempotency_key and k.message_id = g.id
        limit 1 for update) o))
      and k.message_id = any (_ids)),
  freed as (
    delete from symphony.messenger_groups l
    where l.ctid = any (array(select o.place from gone g cross join lateral (
        select l.ctid as place from symphony.messenger_groups l
        where l.queue_name = g.queue_name and l.group_key = g.group_key and l.holder = g.id limit 1) o
      where g.group_key is not null))
      and l.holder = any (_ids)
    returning l.queue_name, l.group_key),
  woken as (
    insert into symphony.messenger_group_wakes (queue_name, group_key) select queue_name, group_key from freed),
  moved as (
    select queue_name, message_type, status, -1 as n, -(coalesce(waiting_for, '') = 'handler')::int as handler from ends
    union all
    select queue_name, message_type, becomes, 1, (outcome = 'unhandled' and becomes = 'scheduled')::int from ends
    union all
    select queue_name, message_type, 'failed', -1, 0 from dead where replaced),
  counted as (
    insert into symphony.messenger_stats_deltas (queue_name, message_type, due, scheduled, completed, failed, cancelled, expired, no_handler)
    select queue_name, message_type,
      coalesce(sum(m.n) filter (where status in ('pending', 'processing')), 0), coalesce(sum(m.n) filter (where status = 'scheduled'), 0),
      coalesce(sum(m.n) filter (where status = 'completed'), 0),
      coalesce(sum(m.n) filter (where status = 'failed'), 0), coalesce(sum(m.n) filter (where status = 'cancelled'), 0),
      coalesce(sum(m.n) filter (where status = 'expired'), 0), sum(m.handler)
    from moved m group by 1, 2)
  select e.n::integer, e.fate from ends e;
end $$;
comment on function symphony.messenger_settle(uuid[], bigint[], text[], bigint[], text[], text[], text[], text[], text[], text, text) is
  'Applies the verdicts of workers; returns the numbers of those that did not come too late.';

-- messenger_promote makes messages claimable that have become due, _most at a time. Members of a group that another one
-- holds go on waiting for that; the next of a group is chosen only when nobody is left who became due before it.
create function symphony.messenger_promote(_most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _promoted integer;
begin
  with found as materialized (
    select d.ctid as place, d.id, d.waiting_for from symphony.messenger_messages d where d.status = 'scheduled' and d.available_at <= _now
    order by d.available_at, d.seq limit _most for update skip locked),
  due as (
    update symphony.messenger_messages m set status = 'pending',
      waiting_for = case when m.group_key is not null and not exists (select from symphony.messenger_groups g
        where g.queue_name = m.queue_name and g.group_key = m.group_key and g.holder = m.id) then 'group' end
    where m.ctid = any (array(select place from found))
    returning m.id, m.queue_name, m.message_type, m.group_key, m.waiting_for),
  woken as (
    insert into symphony.messenger_group_wakes (queue_name, group_key)
    select distinct queue_name, group_key from due where waiting_for = 'group'),
  counted as (
    insert into symphony.messenger_stats_deltas (queue_name, message_type, scheduled, due, no_handler)
    select d.queue_name, d.message_type, -count(*), count(*), -count(*) filter (where f.waiting_for = 'handler')
    from due d join found f on f.id = d.id group by 1, 2)
  select count(*) into _promoted from due;
  return _promoted;
end $$;
comment on function symphony.messenger_promote(integer) is 'Makes messages claimable that have become due; returns how many.';

-- messenger_advance lets the next member of each group run that has been woken. A group is passed over while its holder is
-- visible: whoever completes that in a transaction of his own is not waited for, and wakes the group again. So it is while a member has become
-- due and is not promoted: somebody has its row locked, perhaps to promote it, and it may come before the others.
create function symphony.messenger_advance(_most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _now timestamptz := symphony.clock();
  _late text[];
  _n integer;
  _advanced integer;
begin
  select array_agg(group_key) filter (where group_key is not null), count(*) into _late, _n from (
    select m.group_key from symphony.messenger_messages m where m.status = 'scheduled' and m.available_at <= _now
    order by m.available_at, m.seq limit 2001) m;
  if _n > 2000 then
    return 0; -- first they are promoted
  end if;
  with woken as (
    delete from symphony.messenger_group_wakes where ctid = any (array(
      select w.ctid from symphony.messenger_group_wakes w where _late is null or w.group_key <> all (_late) limit _most for update skip locked))
    returning queue_name, group_key),
  free as materialized (
    select distinct w.queue_name, w.group_key from woken w
    where not exists (select from symphony.messenger_groups g where g.queue_name = w.queue_name and g.group_key = w.group_key)
    order by 1, 2),
  heads as materialized (
    select f.queue_name, f.group_key, h.id from free f cross join lateral (
      select m.id from symphony.messenger_messages m
      where m.queue_name = f.queue_name and m.group_key = f.group_key and m.waiting_for = 'group'
      order by m.available_at, m.seq limit 1 for update) h),
  holders as (
    insert into symphony.messenger_groups (queue_name, group_key, holder) select queue_name, group_key, id from heads
    on conflict do nothing returning holder),
  ready as (
    update symphony.messenger_messages m set waiting_for = null from holders h where m.id = h.holder returning m.id)
  select count(*) into _advanced from ready;
  return _advanced;
end $$;
comment on function symphony.messenger_advance(integer) is 'Lets the next members of groups run; returns how many.';

create function symphony.messenger_take_back(_worker bigint, _history text, _transport text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _back integer;
  _cancelled uuid[];
begin
  with back as (
    update symphony.messenger_messages set status = 'pending', crash_count = crash_count + 1, token = null, locked_by = null, locked_at = null
    where ctid = any (array(select ctid from symphony.messenger_messages where locked_by = _worker for update skip locked))
    returning id, cancel_requested)
  select count(*), array_agg(id) filter (where cancel_requested) into _back, _cancelled from back;
  if _cancelled is not null then
    perform symphony.messenger_end(_cancelled, 'cancelled', _history, _transport);
  end if;
  return _back;
end $$;
comment on function symphony.messenger_take_back(bigint, text, text) is 'Takes back the messages of one worker, and counts a crash of each; returns how many.';

-- messenger_sweep takes back what workers held whose leases ran out, but for what somebody completes in an open transaction: the machine of
-- that may be gone, and nobody must wait until the server knows. A worker that claims at this moment for the first time after a pause
-- holds its own row, and is alive. With _all it also takes back what workers have that are not known any more: those
-- whose claim took longer than a lease.
create function symphony.messenger_sweep(_history text, _transport text, _all boolean default false) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  _worker bigint;
  _back integer := 0;
begin
  for _worker in
    select w.worker from symphony.messenger_workers w where w.alive_until <= symphony.clock() order by 1 for update skip locked
  loop
    _back := _back + symphony.messenger_take_back(_worker, _history, _transport);
    if exists (select from symphony.messenger_messages where locked_by = _worker) then
      update symphony.messenger_workers set alive_until = symphony.clock() + interval '1 second' where worker = _worker;
    else
      delete from symphony.messenger_workers where worker = _worker;
    end if;
  end loop;
  if _all then
    for _worker in
      select distinct m.locked_by from symphony.messenger_messages m where m.locked_by is not null
        and not exists (select from symphony.messenger_workers w where w.worker = m.locked_by)
    loop
      _back := _back + symphony.messenger_take_back(_worker, _history, _transport);
    end loop;
  end if;
  return _back;
end $$;
comment on function symphony.messenger_sweep(text, text, boolean) is 'Takes back the messages of workers whose leases ran out, and counts a crash of each; returns how many.';

create function symphony.messenger_end(_ids uuid[], _outcome text, _history text, _transport text) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
  select count(*)::integer from symphony.messenger_settle(_ids, array_fill(null::bigint, array[cardinality(_ids)]),
    array_fill(_outcome, array[cardinality(_ids)]), array_fill(0::bigint, array[cardinality(_ids)]), null, null, null, null, null, _history, _transport)
$$;
comment on function symphony.messenger_end(uuid[], text, text, text) is 'Ends messages that nobody has as cancelled or expired; returns how many.';

-- messenger_partition makes the partitions of the history that will be needed next, drops those that are older than
-- it is kept, and returns how many rows there still are to delete of what had no partition. It runs as the owner of
-- the tables, because workers may not change them, and closes each partition to everybody else, as rights/rights.sql does with
-- those there are. Attaching takes a weaker lock than CREATE TABLE … PARTITION OF.
create function symphony.messenger_partition(_keep interval) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO' set lock_timeout = '1s' as $$
declare
  _now timestamptz := symphony.clock();
  _length interval := case when _keep > interval '3 days' then interval '1 day' else interval '1 hour' end;
  _end timestamptz;
  _part record;
  _grantee text;
  _rest integer;
begin
  if _keep is null or _keep < interval '1 hour' then
    raise exception using errcode = '22023', message = format('history kept for %s: must be an hour or more', coalesce(_keep::text, 'null'));
  end if;
  perform pg_advisory_xact_lock(hashtextextended('symphony.messenger_partition', 0));
  for _part in
    select c.relname, substring(pg_get_expr(c.relpartbound, c.oid) from $re$TO [(]'([^']+)'[)]$re$)::timestamptz as ends
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'symphony.messenger_history'::regclass and c.relname <> 'messenger_history_default' order by 2
  loop
    if _part.ends <= _now - _keep then
      execute format('drop table symphony.%I', _part.relname);
    else
      _end := _part.ends;
    end if;
  end loop;
  if _end is null or _end <= _now then
    _end := date_trunc('hour', _now);
  end if;
  while _end < _now + 2 * _length loop
    _part := row('messenger_history_' || to_char(_end, 'YYYYMMDD_HH24'), _end + _length);
    execute format('create table symphony.%I (like symphony.messenger_history including defaults including indexes)', _part.f1);
    execute format('alter table symphony.%I enable row level security', _part.f1);
    for _grantee in -- those of default privileges
      select distinct coalesce(r.rolname, 'public') from pg_class c cross join aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
      where c.oid = format('symphony.%I', _part.f1)::regclass and a.grantee <> c.relowner
    loop
      execute format('revoke all on symphony.%I from %s', _part.f1, case _grantee when 'public' then 'public' else quote_ident(_grantee) end);
    end loop;
    execute format('with moved as (delete from symphony.messenger_history_default where finished_at >= %L and finished_at < %L returning *)
      insert into symphony.%I select * from moved', _end, _part.f2, _part.f1);
    execute format('alter table symphony.messenger_history attach partition symphony.%I for values from (%L) to (%L)', _part.f1, _end, _part.f2);
    _end := _part.f2;
  end loop;
  with old as (delete from symphony.messenger_history_default where ctid = any (array(
    select ctid from symphony.messenger_history_default where finished_at <= _now - _keep limit 1000)) returning 1)
  select count(*) into _rest from old;
  return _rest;
end $$;
comment on function symphony.messenger_partition(interval) is 'Makes the next partitions of the history and drops old ones; returns how many rows it deleted that had none.';
select symphony.messenger_partition('24 hours');
