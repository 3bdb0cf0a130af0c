package main

// sqliteMutants break transport/sqlite, its statements too.
func sqliteMutants() []mutant {
	const tokenCheck = "h.fence != fence ||"
	unchecked := func(outcome string) string {
		return "h.fence != fence && v.Outcome != symphony." + outcome + " ||"
	}
	return []mutant{
		{
			"a paused queue is claimed from", "sqlite", "claim.go",
			"		if slices.Contains(p.queues, queue.Name) {\n			continue\n		}\n", "",
			"pause/queue",
		},
		{
			"messages of a paused type are claimed", "sqlite", "claim.go", "slices.Concat(c.Except, p.types)", "slices.Clone(c.Except)",
			"pause/many",
		},
		{
			"a page goes on behind what it did not show", "sqlite", "../../internal/search/search.go",
			"			page.Cursor = r.cursor(all[len(all)-1].Key)\n", "			page.Cursor = r.cursor(p.Last)\n",
			"search/pages",
		},
		{
			"a message that is being handled is replaced", "sqlite", "change.go",
			"	if m.status == monitor.Processing {\n		return true, in.q.exec(sqlHandOver", "	if false {\n		return true, in.q.exec(sqlHandOver",
			"replace/running",
		},
		{
			"the token is not checked on done", "sqlite", "settle.go", tokenCheck, unchecked("Completed"),
			"verdict/lost to another/completed",
		},
		{
			"the token is not checked on retry", "sqlite", "settle.go", tokenCheck, unchecked("Retried"),
			"verdict/lost to another/retried",
		},
		{
			"the token is not checked on fail", "sqlite", "settle.go", tokenCheck, unchecked("Failed"),
			"verdict/lost to another/failed",
		},
		{
			"the token is not checked on renew", "sqlite", "lease.go",
			"			l, ok := mine[token]\n",
			"			l, ok := mine[token]\n			for other, o := range mine {\n				a, _, _ := parseToken(token)\n				if b, _, _ := parseToken(other); a == b {\n					l, ok = o, true\n				}\n			}\n",
			"lease/renew names the lost",
		},
		{
			"the token is not checked on completion in a transaction", "sqlite", "tx.go",
			"		refused, err = t.settle(q, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}, t.clock())\n		return err\n",
			"		seq, _, _ := parseToken(d.Token)\n		return q.exec(\"delete from messenger_messages where seq = ?\", seq)\n",
			"transaction/complete without the lease",
		},
		{
			"a completion that was rolled back counts as done", "sqlite", "settle.go",
			"		s.notDone = append(s.notDone, v.Token)\n",
			"		return nil\n",
			"transaction/complete and roll back",
		},
		{
			"a completion that was committed is reported as a lost lease", "sqlite", "settle.go",
			"		if h != nil || !v.InTx { // else the handler's transaction has ended it\n			s.lost = append(s.lost, v.Token)\n		}\n",
			"		s.lost = append(s.lost, v.Token)\n",
			"transaction/complete and commit",
		},
		{
			"the lease ends by the worker's clock", "sqlite", "pause.go",
			"[]any{c.Worker, now, now + lease, lease, array(names)}",
			"[]any{c.Worker, now, time.Now().UnixMilli() + lease, lease, array(names)}",
			"lease/counts from the claim",
		},
		{
			"popped before it is recorded: a crash loses it", "sqlite", "lease.go",
			"		var cancelled []int64\n",
			"		var cancelled []int64\n		if err := q.exec(\"delete from messenger_messages where locked_by = ?\", worker); err != nil {\n			return err\n		}\n",
			"lease/runs out",
		},
		{
			"acknowledged before the effect", "sqlite", "claim.go",
			"		ds, err = t.claim(q, c)\n		return err\n",
			"		if ds, err = t.claim(q, c); err != nil {\n			return err\n		}\n		for _, d := range ds {\n			if _, err = t.settle(q, []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}, t.clock()); err != nil {\n				return err\n			}\n		}\n		return nil\n",
			"lease/runs out",
		},
		{
			"a retry copies the message and deletes the first", "sqlite", "settle.go",
			"		return s.again(h, v, counters{retries: 1})\n",
			"		if err := s.q.exec(\"insert into messenger_messages (id, queue_name, message_type, subscriber, status, priority, created_at, available_at, version, content_type, body) \"+\n			\"select randomblob(16), queue_name, message_type, subscriber, 'pending', priority, created_at, available_at, version, content_type, body from messenger_messages where seq = ?\", seq); err != nil {\n			return err\n		}\n		s.completed = append(s.completed, seq)\n		return nil\n",
			"counting/outcomes",
		},
		{
			"a duplicate is answered though nothing was stored", "sqlite", "send.go",
			"		rs, err = t.store(ctx, envs)\n",
			"		for _, env := range envs {\n			if env.Key == \"\" {\n				continue\n			}\n			if err := t.write(ctx, func(q *queries) error {\n				_, _, err := (&inserting{t: t, q: q, now: t.clock()}).takeKey(env)\n				return err\n			}); err != nil {\n				return nil, err\n			}\n		}\n		rs, err = t.store(ctx, envs)\n",
			"key/nothing stored",
		},
		{
			"a key is forgotten while its message lives", "sqlite", "query/key.sql",
			" and not exists (select 1 from messenger_messages m where m.id = message_id)",
			"",
			"key/lives longer than its window",
		},
		{
			"delivered early", "sqlite", "query/due.sql",
			"available_at <= ?1\n",
			"available_at <= ?1 + 90000\n",
			"delay/never early",
		},
		{
			"the attempt is counted after the run: one that kills its worker is never counted", "sqlite", "query/sweep.sql",
			"crash_count = crash_count + 1, ",
			"",
			"lease/runs out",
		},
		{
			"the dead letter is written outside of the step of its verdict: the message stays", "sqlite", "settle.go",
			"	if err := s.q.exec(\"delete from messenger_messages where seq = ?\", h.seq); err != nil {\n		return err\n	}\n	return s.leave(h)\n",
			"	return s.leave(h)\n",
			"dead letter/complete",
		},
		{
			"the sweep stops at the first bad row", "sqlite", "lease.go",
			"			if cancel {\n				cancelled = append(cancelled, seq)\n			}\n",
			"			if cancel {\n				return sql.ErrNoRows\n			}\n",
			"lease/all that ran out",
		},
		{
			"a group is released on retry", "sqlite", "settle.go",
			"		return s.again(h, v, counters{retries: 1})\n",
			"		if err := s.again(h, v, counters{retries: 1}); err != nil {\n			return err\n		}\n		return s.leave(h)\n",
			"group/holds",
		},
		{
			"expiry is ignored", "sqlite", "claim.go",
			"		if l.expires.Valid && l.expires.Int64 <= cl.now {\n",
			"		if l.expires.Valid && l.expires.Int64 < 0 {\n",
			"expiry/never started",
		},
		{
			"the body is re-encoded", "sqlite", "rows.go",
			"body: env.Body}\n",
			"body: []byte(string([]rune(string(env.Body))))}\n",
			"content/bytes",
		},
		{
			"the batch is half stored", "sqlite", "send.go",
			"	err = t.write(ctx, func(q *queries) error {\n		rs, err = t.insert(q, envs)\n		return err\n	})\n	return rs, err\n",
			"	for _, env := range envs {\n		if err := t.write(ctx, func(q *queries) error {\n			some, err := t.insert(q, []*symphony.Envelope{env})\n			rs = append(rs, some...)\n			return err\n		}); err != nil {\n			return nil, err\n		}\n	}\n	return rs, nil\n",
			"send/all or none",
		},
		{
			"a retry goes to the end of the queue", "sqlite", "query/again.sql",
			"  locked_by = null, locked_at = null\nwhere seq = ?1",
			"  locked_by = null, locked_at = null, seq = (select max(seq) from messenger_messages) + 1\nwhere seq = ?1",
			"order/put back",
		},
		{
			"claimed without a new token", "sqlite", "query/claim.sql",
			", fence = fence + 1",
			"",
			"counting/outcomes",
		},
	}
}
