package main

// memoryMutants break transport/memory.
func memoryMutants() []mutant {
	const tokenCheck = "if m == nil || m.lease.token != v.Token {"
	unchecked := func(outcome string) string {
		return "if m == nil || m.lease.token != v.Token && (v.Outcome != symphony." + outcome + " || m.lease.worker == nil) {"
	}
	return []mutant{
		{
			"the token is not checked on done", "memory", "settle.go", tokenCheck, unchecked("Completed"),
			"verdict/lost to another/completed",
		},
		{
			"the token is not checked on retry", "memory", "settle.go", tokenCheck, unchecked("Retried"),
			"verdict/lost to another/retried",
		},
		{
			"the token is not checked on fail", "memory", "settle.go", tokenCheck, unchecked("Failed"),
			"verdict/lost to another/failed",
		},
		{
			"the token is not checked on snooze", "memory", "settle.go", tokenCheck, unchecked("Snoozed"),
			"verdict/lost to another/snoozed",
		},
		{
			"the token is not checked on renew", "memory", "lease.go",
			"		m := w.held[token]\n",
			"		m := t.messageOf(token)\n",
			"lease/renew names the lost",
		},
		{
			"a heartbeat renews the leases of everybody", "memory", "lease.go",
			"	w.until = max(w.until, roundUp(now.Add(w.lease)))\n",
			"	for _, w := range t.workers {\n		w.until = max(w.until, roundUp(now.Add(w.lease)))\n	}\n",
			"lease/renew of one worker",
		},
		{
			"the lease ends by the worker's clock", "memory", "lease.go",
			"w.until = max(w.until, roundUp(now.Add(c.Lease)))",
			"w.until = max(w.until, roundUp(time.Now().Add(c.Lease)))",
			"lease/counts from the claim",
		},
		{
			"popped before it is recorded: a crash loses it", "memory", "lease.go",
			"			m.crashes++\n			t.putBack(m, 0, now)\n",
			"			m.leave()\n			delete(t.messages, m.env.ID)\n",
			"lease/runs out",
		},
		{
			"acknowledged before the effect", "memory", "claim.go",
			"		deliveries[i] = m.delivery(now, now.Add(-t.shift), c.Lease)\n",
			"		deliveries[i] = m.delivery(now, now.Add(-t.shift), c.Lease)\n		t.unlease(m)\n		t.finish(m, monitor.Completed, now)\n",
			"lease/runs out",
		},
		{
			"a retry copies the message and deletes the first", "memory", "settle.go",
			"		m.retries++\n		t.putBack(m, v.After, now)\n",
			"		again := clone(m.env)\n		again.ID, again.Delay = symphony.NewID(), v.After\n		t.finish(m, monitor.Completed, now)\n		t.accept(again, now)\n",
			"counting/outcomes",
		},
		{
			"a duplicate is answered though nothing was stored", "memory", "send.go",
			"			return nil, fmt.Errorf(\"send message %d of %d: %w\", i+1, len(envs), err)\n",
			"			if now, ended := t.begin(ctx); ended == nil {\n				t.take(envs[0], now)\n				t.mu.Unlock()\n			}\n			return nil, fmt.Errorf(\"send message %d of %d: %w\", i+1, len(envs), err)\n",
			"key/nothing stored",
		},
		{
			"a key is free as soon as its message is done", "memory", "keys.go",
			"	if ms < k.until {\n		return true\n	}\n",
			"",
			"key/within the window",
		},
		{
			"a key is forgotten while its message lives", "memory", "keys.go",
			"	return m != nil && live(m.status)\n",
			"	return m != nil && live(m.status) && k.until == 0\n",
			"key/lives longer than its window",
		},
		{
			"delivered early", "memory", "memory.go",
			"	for t.due.first(ms) != nil {\n		m := t.due.first(ms)\n",
			"	for ms += 90_000; t.due.first(ms) != nil; {\n		m := t.due.first(ms)\n",
			"delay/never early",
		},
		{
			"a delay counts by the sender's clock", "memory", "send.go",
			"		return roundUp(now.Add(env.Delay))\n",
			"		return roundUp(time.Now().Add(env.Delay))\n",
			"delay/from acceptance",
		},
		{
			"the attempt is counted after the run: one that kills its worker is never counted", "memory", "lease.go",
			"			m.crashes++\n",
			"",
			"lease/runs out",
		},
		{
			"a snooze uses up an attempt", "memory", "settle.go",
			"		m.snoozes++\n",
			"		m.snoozes++\n		m.retries++\n",
			"counting/outcomes",
		},
		{
			"the dead letter is written outside of the step of its verdict", "memory", "settle.go",
			"	if err := checkVerdicts(verdicts); err != nil {\n		return err\n	}\n	now, err := t.begin(ctx)\n	if err != nil {\n		return err\n	}\n	defer t.mu.Unlock()\n",
			"	now, err := t.begin(ctx)\n	if err != nil {\n		return err\n	}\n	defer t.mu.Unlock()\n	if err := checkVerdicts(verdicts); err != nil {\n		return errors.Join(err, t.settle(verdicts[:1], now))\n	}\n",
			"dead letter/in the step of the verdict",
		},
		{
			"a stale failure still leaves a dead letter", "memory", "settle.go",
			"			lost = append(lost, v.Token)\n",
			"			if m != nil && v.Outcome == symphony.Failed {\n				t.dead.PushBack(m)\n			}\n			lost = append(lost, v.Token)\n",
			"verdict/lost to another/failed",
		},
		{
			"the sweep stops at the first bad row", "memory", "lease.go",
			"		for _, m := range w.held {\n			t.unlease(m)\n",
			"		for _, m := range w.held {\n			if m.cancelled {\n				break\n			}\n			t.unlease(m)\n",
			"lease/all that ran out",
		},
		{
			"orphans are never put back", "memory", "lease.go",
			"	t.putOrphansBack(w, known, now)\n",
			"",
			"lease/orphans",
		},
		{
			"a group is released on retry", "memory", "settle.go",
			"		m.retries++\n		t.putBack(m, v.After, now)\n",
			"		m.retries++\n		t.leaveGroup(m)\n		if m.env.Group != \"\" {\n			m.grp = m.kind.queue.group(m.env.Group)\n		}\n		t.putBack(m, v.After, now)\n",
			"group/holds",
		},
		{
			"a group is not released by a dead letter", "memory", "settle.go",
			"	t.endKey(m, m.finished)\n	t.leaveGroup(m)\n",
			"	t.endKey(m, m.finished)\n	if as != monitor.Failed {\n		t.leaveGroup(m)\n	}\n",
			"group/frees",
		},
		{
			"priority is compared across a group", "memory", "index.go",
			"		return a.join < b.join\n",
			"		return a.env.Priority > b.env.Priority || a.env.Priority == b.env.Priority && a.join < b.join\n",
			"group/priority",
		},
		{
			"a retry goes to the end of the queue", "memory", "settle.go",
			"		m.retries++\n		t.putBack(m, v.After, now)\n",
			"		m.retries++\n		t.accepted++\n		m.seq = t.accepted\n		t.putBack(m, v.After, now)\n",
			"order/put back",
		},
		{
			"expiry is ignored", "memory", "send.go",
			"		m.expires = roundUp(now.Add(env.Expires))\n",
			"",
			"expiry/never started",
		},
		{
			"a retry that comes too late is counted all the same", "memory", "settle.go",
			"		if m.lateAt(roundUp(now.Add(v.After))) {\n			t.bury(m, symphony.ReasonDeadline, now)\n			return\n		}\n",
			"",
			"expiry/retry too late",
		},
		{
			"the body is re-encoded", "memory", "message.go",
			"		Body: bytes.Clone(env.Body), ContentType: env.ContentType, Headers: maps.Clone(env.Headers), Tags: slices.Clone(env.Tags),\n		Queue:",
			"		Body: bytes.ToValidUTF8(env.Body, []byte(\"\\ufffd\")), ContentType: env.ContentType, Headers: maps.Clone(env.Headers), Tags: slices.Clone(env.Tags),\n		Queue:",
			"content/bytes",
		},
		{
			"the batch is half stored", "memory", "send.go",
			"	for i, env := range envs {\n		if err := check(env); err != nil {\n			return nil, fmt.Errorf(\"send message %d of %d: %w\", i+1, len(envs), err)\n		}\n	}\n	now, err := t.begin(ctx)\n	if err != nil {\n		return nil, err\n	}\n	defer t.mu.Unlock()\n	receipts := make([]symphony.Receipt, len(envs))\n	for i, env := range envs {\n",
			"	now, err := t.begin(ctx)\n	if err != nil {\n		return nil, err\n	}\n	defer t.mu.Unlock()\n	receipts := make([]symphony.Receipt, len(envs))\n	for i, env := range envs {\n		if err := check(env); err != nil {\n			return nil, fmt.Errorf(\"send message %d of %d: %w\", i+1, len(envs), err)\n		}\n",
			"send/all or none",
		},
		{
			"the envelope of the caller is kept", "memory", "send.go",
			"m := &message{env: clone(env),",
			"m := &message{env: env,",
			"send/envelopes stay the caller's",
		},
		{
			"a repeated send stores twice", "memory", "send.go",
			"	if t.messages[env.ID] != nil {\n		return env.ID, true, false\n	}\n",
			"",
			"send/repeated",
		},
		{
			"nobody is woken by a send", "memory", "groups.go",
			"	t.wakeFor(m.kind)\n",
			"",
			"receive/blocks",
		},
		{
			"a cancelled message runs again after an error", "memory", "settle.go",
			"	if m.cancelled && outcome != symphony.Completed {\n",
			"	if m.cancelled && outcome == symphony.Released {\n",
			"cancel/the answer decides",
		},
		{
			"a subscriber's copy is lost when the handler has the key already", "memory", "send.go",
			"		r.Duplicate = r.Duplicate && !stored\n",
			"		if r.Duplicate = r.Duplicate && !stored; r.Duplicate {\n			break\n		}\n",
			"subscription/keys",
		},
	}
}
