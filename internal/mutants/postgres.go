package main

// postgresMutants break transport/postgres: mostly its statements and functions, because the promises are kept there.
func postgresMutants() []mutant {
	const tokenCheck = "m.token is not distinct from g.token\n    where"
	unchecked := func(outcome string) string {
		return "(m.token is not distinct from g.token or g.outcome = '" + outcome + "' and m.token is not null)\n    where"
	}
	const functions, api = "schema/0002_functions.sql", "schema/0003_api.sql"
	return []mutant{
		{
			"the token is not checked on done", "postgres", functions, tokenCheck, unchecked("completed"),
			"verdict/lost to another/completed",
		},
		{
			"the token is not checked on retry", "postgres", functions, tokenCheck, unchecked("retried"),
			"verdict/lost to another/retried",
		},
		{
			"the token is not checked on fail", "postgres", functions, tokenCheck, unchecked("failed"),
			"verdict/lost to another/failed",
		},
		{
			"the token is not checked on snooze", "postgres", functions, tokenCheck, unchecked("snoozed"),
			"verdict/lost to another/snoozed",
		},
		{
			"the token is not checked on renew", "postgres", "query/renew.sql",
			"where m.token = g.token and m.locked_by", "where m.locked_by",
			"lease/renew names the lost",
		},
		{
			"a heartbeat renews the leases of everybody", "postgres", "query/renew.sql",
			"symphony.clock() + w.lease) where w.identity = $1::text\n",
			"symphony.clock() + w.lease) where $1::text is not null\n",
			"lease/renew of one worker",
		},
		{
			"orphans are put back while they are on their way", "postgres", "query/orphans.sql",
			" and m.locked_at + w.lease <= symphony.clock()\n", "\n",
			"concurrency/senders and workers",
		},
		{
			"orphans are never put back", "postgres", "lease.go",
			"	_, err = t.settle(ctx, native{t.work}, back)\n", "",
			"lease/orphans",
		},
		{
			"a lost lease in a transaction is not told", "postgres", "tx.go",
			"	if err == nil {\n		err = refused\n	}\n", "	_ = refused\n",
			"transaction/complete without the lease",
		},
		{
			"a completion that was rolled back counts as done", "postgres", "settle.go",
			"			r.undone = append(r.undone, v.Token)\n", "",
			"transaction/complete and roll back",
		},
		{
			"a completion that was committed is reported as a lost lease", "postgres", "settle.go",
			"		if there[v.id] {\n", "		if there[v.id] || true {\n",
			"transaction/complete and commit",
		},
		{
			"the attempt is counted after the run: one that kills its worker is never counted", "postgres", functions,
			"crash_count = crash_count + 1, token = null", "crash_count = crash_count, token = null",
			"lease/runs out",
		},
		{
			"what a dead worker held stays where it is", "postgres", functions,
			"update symphony.messenger_messages set status = 'pending', crash_count", "update symphony.messenger_messages set status = 'processing', crash_count",
			"lease/runs out",
		},
		{
			"the sweep stops at the first bad row", "postgres", functions,
			"where locked_by = _worker for update skip locked))", "where locked_by = _worker and not cancel_requested limit 1 for update skip locked))",
			"lease/all that ran out",
		},
		{
			"the fence does not grow", "postgres", "query/claim.sql",
			"fence = m.fence + 1", "fence = greatest(m.fence, 1)",
			"counting/outcomes",
		},
		{
			"a snooze uses up an attempt", "postgres", functions,
			"retry_count = m.retry_count + (e.outcome = 'retried')::int", "retry_count = m.retry_count + (e.outcome in ('retried', 'snoozed'))::int",
			"counting/outcomes",
		},
		{
			"the first attempts are forgotten", "postgres", functions,
			"(log - 2) ||", "(log - 0) ||",
			"counting/attempts",
		},
		{
			"a retry goes to the end of the queue", "postgres", functions,
			"update symphony.messenger_messages m set status = e.becomes,", "update symphony.messenger_messages m set seq = default, status = e.becomes,",
			"order/put back",
		},
		{
			"priorities are upside down", "postgres", "query/claim.sql",
			"from generate_series(10, 1, -1) as p(priority)", "from generate_series(1, 10) as p(priority)",
			"order/priority",
		},
		{
			"types that are excepted are claimed", "postgres", "query/claim.sql",
			"and r.message_type <> all ($7::text[])", "and (r.message_type <> all ($7::text[]) or true)",
			"queues/except",
		},
		{
			"a key is free as soon as its message is done", "postgres", functions,
			"and not k.live and coalesce(k.expires_at, _now) <= _now;", "and not k.live;",
			"key/within the window",
		},
		{
			"a key is forgotten while its message lives", "postgres", functions,
			"and not k.live and coalesce(k.expires_at, _now) <= _now;", "and coalesce(k.expires_at, _now) <= _now;",
			"key/lives longer than its window",
		},
		{
			"a key is never free again", "postgres", functions,
			"update symphony.messenger_keys k set live = false\n", "update symphony.messenger_keys k set live = true\n",
			"key/window over",
		},
		{
			"delivered early", "postgres", functions,
			"      (case when d.due > _now then 'scheduled' else 'pending' end)::symphony.messenger_status,\n", "      'pending',\n",
			"delay/never early",
		},
		{
			"a wait for the next attempt is forgotten", "postgres", functions,
			"when f.wait > interval '0' then 'scheduled'", "when f.wait > interval '1 hour' then 'scheduled'",
			"delay/after an attempt",
		},
		{
			"a group is released on retry", "postgres", functions,
			"(select o.place from gone g cross join lateral (\n        select l.ctid as place from symphony.messenger_groups l\n",
			"(select o.place from (select id, queue_name, group_key from gone union all select id, queue_name, group_key from held where outcome = 'retried') g cross join lateral (\n        select l.ctid as place from symphony.messenger_groups l\n",
			"group/holds",
		},
		{
			"a group is not released by a dead letter", "postgres", functions,
			"where g.group_key is not null))\n", "where g.group_key is not null and g.fate <> 'failed'))\n",
			"group/frees",
		},
		{
			"priority is compared across a group", "postgres", functions,
			"order by m.available_at, m.seq limit 1 for update) h),", "order by m.priority desc, m.available_at, m.seq limit 1 for update) h),",
			"group/priority",
		},
		{
			"expiry is ignored", "postgres", functions,
			"_now + nullif(i.expiry, 0) * interval '1 millisecond',", "_now + nullif(i.expiry, i.expiry) * interval '1 millisecond',",
			"expiry/never started",
		},
		{
			"a retry that comes too late is counted all the same", "postgres", functions,
			"when h.outcome in ('retried', 'snoozed') and _now", "when h.outcome = 'snoozed' and _now",
			"expiry/retry too late",
		},
		{
			"a cancelled message runs again after an error", "postgres", functions,
			"when h.outcome = 'cancelled' or h.cancel_requested then 'cancelled'", "when h.outcome = 'cancelled' then 'cancelled'",
			"cancel/the answer decides",
		},
		{
			"what workers have is counted as pending", "postgres", "schema/0003_api.sql",
			"sum(due - processing)::bigint as pending", "sum(due)::bigint as pending",
			"counts/after every step",
		},
		{
			"a sender that missed a subscription is not told", "postgres", "query/insert.sql",
			"where (select number from subscriptions) = $1)\nselect",
			"where (select number from subscriptions) >= $1)\nselect",
			"subscription/no handler",
		},
		{
			"a message that is there already is an error", "postgres", "send.go",
			"if isStored(err) {", "if isStored(err) && len(envs) < 0 {",
			"send/repeated",
		},
		{
			"a time is taken for none", "postgres", "columns.go",
			" || !env.At.IsZero() || env.Delay > 0", " || env.Delay > 0",
			"delay/at",
		},
		{
			"a message that was handled in between is sent again", "postgres", "send.go",
			"[]string{t.sql.there, t.sql.ended}", "[]string{t.sql.there}",
			"TestLostAnswerAndHandledInBetween",
		},
		{
			"SQL may set headers that are ours", "postgres", api,
			"elsif _name ~ '^(symphony|webhook|ce)-' then", "elsif _name ~ '^(symphony|webhook)-' then",
			"TestGoAndSQLAgree",
		},
		{
			"a completion in an open transaction stops the sweep", "postgres", functions,
			"where locked_by = _worker for update skip locked))", "where locked_by = _worker for update))",
			"TestSweepPassesOverOpenTransactions",
		},
		{
			"who never runs out does not look", "postgres", "sight.go",
			"const lookEvery = 20 * time.Millisecond", "const lookEvery = time.Hour",
			"TestPlentyHidesNothing",
		},
		{
			"a look before each claim", "postgres", "sight.go",
			"case <-s.told:\n\t\treturn stepClaim", "case <-s.told:\n\t\treturn stepLook",
			"TestFewLooks",
		},
		{
			"the next of a group is not looked for", "postgres", "sight.go",
			"return stirs == s.stirs && ", "return ",
			"TestSight",
		},
		{
			"the start goes past what a claim has left", "postgres", "floors.go",
			"ended := got.n < c.mosts[i] && (!full || beyond)", "ended := got.n < c.mosts[i]",
			"TestHighFloors",
		},
		{
			"a busy queue takes the claims from the start of all", "postgres", "floors.go",
			"fromStart := f.startOf(q), c.begun.Sub(q.start) >= q.pause", "fromStart := f.startOf(q), c.begun.Sub(f.queue(\"busy\").start) >= f.queue(\"busy\").pause",
			"TestHighFloors",
		},
		{
			"what was found behind claims is forgotten", "postgres", "behind.go",
			"		t.floors.found(queue, first)\n", "",
			"TestClaimsPassOverOldRows",
		},
		{
			"a second verdict under a lease is one more", "postgres", "settle.go",
			"return n.id == l.id && n.token == l.token", "return n.id == l.id && n.token != l.token",
			"verdict/lost and leased again/completed",
		},
	}
}
