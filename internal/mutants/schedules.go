package main

// scheduleMutants break how stores keep schedules and fire them.
func scheduleMutants() []mutant {
	return []mutant{
		{
			"a tick that fired before fires again", "sqlite", "schedule.go",
			"		if n == 0 || tick.Envelope == nil {\n			c.Settle(i, nil, n == 0)\n",
			"		if tick.Envelope == nil {\n			c.Settle(i, nil, n == 0)\n",
			"schedule/once more",
		},
		{
			"schedules are due by the clock of the process", "sqlite", "schedule.go",
			"	err = t.write(ctx, func(q *queries) error {\n		now := t.clock()\n",
			"	err = t.write(ctx, func(q *queries) error {\n		now := time.Now().UnixMilli()\n",
			"schedule/a tick makes one message",
		},
		{
			"the next tick is not written", "sqlite", "query/schedules_advance.sql",
			"next_run_at = ?2, last_tick_at = ?3", "last_tick_at = ?3, next_run_at = case when ?2 is null then null else next_run_at end",
			"schedule/a tick makes one message",
		},
		{
			"the message is stored before the tick, and both apart", "sqlite", "schedule.go",
			"		if err := t.change(q, now, changes); err != nil || sel.Due == nil {\n",
			"		err = t.change(q, now, changes)\n		if err != nil {\n			q.exec(\"commit\")\n			q.exec(\"begin immediate\")\n		}\n		if err != nil || sel.Due == nil {\n",
			"schedule/all or nothing",
		},
		{
			"copies for subscribers do not count as living", "sqlite", "schedule.go",
			"		ids := rs[0].Copies\n		if len(ids) == 0 || ids[0] != rs[0].ID {\n			ids = append([]symphony.ID{rs[0].ID}, ids...)\n		}\n",
			"		ids := []symphony.ID{rs[0].ID}\n",
			"schedule/subscribers",
		},
		{
			"a message that runs counts as one that waits", "sqlite", "schedule.go",
			"Started: fence > 0", "Started: fence > 1000",
			"tick/overlap queue",
		},
		{
			"a message that is handled is not cancelled", "sqlite", "schedule.go",
			"		return q.exec(\"update messenger_messages set cancel_requested = 1 where seq = ?\", seq)\n",
			"		return nil\n",
			"tick/overlap cancel",
		},
		{
			"paused schedules fire", "sqlite", "query/schedules_due.sql",
			"where enabled = 1 and next_run_at", "where next_run_at",
			"manage/pause",
		},
		{
			"what is declared no more goes on", "sqlite", "query/schedules_of.sql",
			"or owner = ?2 order", "or ?2 = '' order",
			"owner/apply",
		},
		{
			"ticks are kept for ever", "sqlite", "schedule.go",
			"		if c.Keep == 0 {\n", "		if c.Keep >= 0 {\n",
			"tick/kept",
		},
		{
			"a tick that fired before fires again", "memory", "schedule.go",
			"	if there {\n		c.Settle(i, nil, true)\n		return\n	}\n",
			"	if there {\n		c.Settle(i, nil, true)\n		t.fanOut(tick.Envelope, now)\n		return\n	}\n",
			"schedule/once more",
		},
		{
			"schedules that are not due fire", "memory", "schedule.go",
			"isDue(&e, due) && !e.NextRunAt.After(now)", "isDue(&e, due) && !e.NextRunAt.After(now.Add(time.Minute))",
			"schedule/not early",
		},
	}
}
