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
	}
}
