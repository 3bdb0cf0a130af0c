package main

// workerMutants break the worker: the judgement on what became of a message in the root package, and the loop in internal/engine.
// Those whose test is in a package of its own say which.
func workerMutants() []mutant {
	const store, handle = "worker_store.go", "worker_handle.go"
	const claim, settle, lease, stop = "internal/engine/claim.go", "internal/engine/settle.go", "internal/engine/lease.go", "internal/engine/stop.go"
	return []mutant{
		{
			"a message that kills its workers is run for ever", worker, store,
			"case env.Crashes >= r.MaxCrashes:", "case env.Crashes > r.MaxCrashes:",
			"TestCrashLoopIsNotRun",
		},
		{
			"innocents run beside the one that kills its workers", worker, store,
			"Alone: env.Crashes >= 2,", "Alone: env.Crashes >= 200,",
			"TestMessageThatCrashedTwiceRunsAlone",
		},
		{
			"a verdict that came too late is taken for settled", worker, store,
			"if tooLate && slices.Contains(lost.Tokens, t.Token) {", "if tooLate && slices.Contains(lost.Tokens, \"\") {",
			"TestVerdictThatComesTooLateIsReported",
		},
		{
			"messages without a handler are looked at all the time", worker, store,
			"after = min(2*after, most)", "after = min(after, most)",
			"TestUnknownTypesWaitForADeploy",
		},
		{
			"what was done in time is cancelled", worker, store,
			"if v := &j.Value.verdict; j.Cancelled && v.Outcome != Completed {", "if v := &j.Value.verdict; j.Cancelled {",
			"TestCancelledMessageEndsItsHandler",
		},
		{
			"a handler that was told to stop has failed", worker, handle,
			"(cause == ErrStopping || cause == ErrLeaseLost)", "cause == ErrLeaseLost",
			"TestStopEndsContextsAfterGrace",
		},
		{
			"a forgotten commit counts as done", worker, handle,
			"		err = ErrNotCommitted // if that is so; else the store has no use for the verdict\n", "		return v\n",
			"TestCompletionInTheHandlersTransaction",
		},
		{
			"one retry too few", worker, handle,
			"again = t.Envelope.Attempt <= *most", "again = t.Envelope.Attempt < *most",
			"TestWhichPolicyDecides",
		},
		{
			"verdicts are forgotten when the store fails", worker, settle,
			"		e.pending = append(js, e.pending...)\n", "",
			"TestOutageLosesNothing",
		},
		{
			"more is claimed while verdicts cannot be settled", worker, claim,
			"e.alone != nil || e.settle.fails > 0 || !e.due(e.claim.next)", "e.alone != nil || !e.due(e.claim.next)",
			"TestNothingIsClaimedWhileVerdictsCannotBeSettled",
		},
		{
			"handlers run on after their leases", worker, lease,
			"		case j.state == running && j.Context.Err() == nil:\n			j.end(e.LeaseLost)\n", "		case j.state == running && j.Context.Err() == nil:\n",
			"TestContextsEndBeforeLeasesThatCannotBeRenewed",
		},
		{
			"a renewed lease counts from the answer", worker, lease,
			"				j.Lease = sent.Add(e.Lease)\n", "				j.Lease = e.now.Add(e.Lease)\n",
			"TestLateRenewalCountsFromItsRequest",
		},
		{
			"the verdict of a handler without a lease is sent", worker, lease,
			"			j.lost = true // it leaves when its handler has ended\n", "",
			"TestLostLeaseEndsTheHandlerAndDropsItsVerdict",
		},
		{
			"what arrives at the end of its lease is started", worker, claim,
			"case e.alone != nil || e.phase > working || e.lateFor(j):", "case e.alone != nil || e.phase > working:",
			"TestDeliveryThatComesLateIsNotStarted",
		},
		{
			"what arrives while the worker stops is started", worker, claim,
			"case e.alone != nil || e.phase > working || e.lateFor(j):", "case e.alone != nil || e.lateFor(j):",
			"TestWhatArrivesWhileStoppingIsGivenBack",
		},
		{
			"a message that has expired is started", worker, claim,
			"	if !j.Deadline.IsZero() && !e.now.Before(j.Deadline) {\n", "	if !j.Deadline.IsZero() && e.now.IsZero() {\n",
			"TestExpiredMessageIsNotStarted",
		},
		{
			"more run of a type than may", worker, claim,
			"		if k.running >= k.AtMost {\n			return false\n", "		if k.running > k.AtMost {\n			return false\n",
			"TestTypeNeverRunsMoreThanAtMost",
		},
		{
			"the limit of messages forgets those that wait", worker, claim,
			"c.Max = min(c.Max, most-e.started-len(e.held))", "c.Max = min(c.Max, most-e.started)",
			"TestLimitOfMessagesCountsThoseThatAreHeld",
		},
		{
			"what waits is kept when the worker stops", worker, stop,
			"		e.endIntake()\n		e.giveBack()\n", "		e.endIntake()\n",
			"TestMessageThatWaitsToRunAlone",
		},
		{
			"a limit cuts handlers short", worker, stop,
			"e.hurried || !e.until.IsZero() && e.due(e.until)", "e.hurried || e.due(e.until)",
			"TestLimitIsNoGrace",
		},
		{
			"a worker waits for its store for ever", worker, stop,
			"if e.phase == flushing && (nothingLeft || e.due(e.until)) {", "if e.phase == flushing && nothingLeft {",
			"TestStopDoesNotWaitForAStoreForEver",
		},
		{
			"pauses grow without an end", worker, settle,
			"d := min(50*time.Millisecond<<min(fails-1, 6), 2*time.Second)", "d := 50 * time.Millisecond << min(fails-1, 6)",
			"internal/engine/TestPausesGrow",
		},
		{
			"who waits for a verdict waits for others", worker, settle,
			"&& !e.prompt && ", "&& ",
			"internal/engine/TestVerdictsGoTogether",
		},
		{
			"one claim at a time", worker, claim,
			"!e.plenty || len(e.takings) >= atOnce", "!e.plenty || len(e.takings) >= 1",
			"internal/engine/TestClaimsAtOnce",
		},
	}
}
