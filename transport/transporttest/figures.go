package transporttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func figureTests() []test {
	return []test{
		{
			"figures/minutes", "Rates, waits and runs by minute, queue and type, at most 5 s late. (Figures, S14)",
			figures, figuresMinutes,
		},
	}
}

func bulkTests() []test {
	return []test{
		{
			"bulk/retry", "A Bulk does one thing with all messages that a search chooses, and stores how far it is. (Bulk)",
			bulks | searching | deadLetters | counts, bulkRetry,
		},
		{
			"bulk/delay", "All that a bulk reschedules is due at the same time, by the clock of the store. (Bulk, Due)",
			bulks | changing | searching | find, bulkDelay,
		},
		{
			"bulk/abort", "Others can abort it; what was done stays done. (Bulk)",
			bulks | searching | changing | counts, bulkAbort,
		},
		{
			"bulk/go on", "When whoever runs it is gone, somebody else may go on. (Bulk)",
			bulks | searching | changing | counts, bulkGoOn,
		},
	}
}

func figuresMinutes(k *kit) {
	a, b, other := message(), message(), message(func(e *symphony.Envelope) { e.Type = "suite.Other" })
	k.send(a, b, other)
	k.Advance(10 * time.Second)
	ds := k.receive(claim("w", 3), 3)
	var vs []symphony.Verdict
	for i, d := range ds {
		v := verdict(d, []symphony.Outcome{symphony.Completed, symphony.Retried, symphony.Failed}[i])
		v.Attempt, v.Took = &d, time.Duration(i+1)*time.Second
		vs = append(vs, v)
	}
	late := vs[0] // comes too late
	k.settle(vs...)
	k.refused([]symphony.Verdict{late}, late.Token)
	f := power1[monitor.Figures](k)
	var sums []monitor.Minute
	var attempts int64
	for deadline := time.Now().Add(patience); attempts < 3; {
		all, err := f.Minutes(k.ctx, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if err != nil || time.Now().After(deadline) {
			k.Fatalf("Minutes after %v: %+v, %v", patience, all, err)
		}
		for _, m := range all {
			if m.At.IsZero() || m.At.Second() != 0 {
				k.Fatalf("a minute begins at %v", m.At)
			}
		}
		sums, attempts = monitor.Sum(all), 0
		for _, m := range sums {
			attempts += m.Attempts()
		}
		// A worker that has nothing to do goes on asking.
		ctx, cancel := context.WithTimeout(k.ctx, 100*time.Millisecond)
		_, _ = k.Transport.Receive(ctx, claimOf("w", 1, symphony.QueueClaim{Name: "idle"}))
		cancel()
	}
	if len(sums) != 2 || sums[0].Type != typ || sums[1].Type != "suite.Other" {
		k.Fatalf("sums %+v, want two types", sums)
	}
	equal(k, "what is said of the first type", fmt.Sprint(sums[0].Completed, sums[0].Retried, sums[0].Failed, sums[0].Other), "1 1 0 0")
	equal(k, "what is said of the second", fmt.Sprint(sums[1].Completed, sums[1].Retried, sums[1].Failed, sums[1].Other), "0 0 1 0")
	near := func(what string, got, want time.Duration) {
		if got < want*8/10 || got > want*13/10 {
			k.Errorf("%s is %v, want about %v", what, got, want)
		}
	}
	near("the longest run of the first type", sums[0].Run.Quantile(1), 2*time.Second)
	near("the shortest", sums[0].Run.Quantile(0), time.Second)
	near("the run of the second", sums[1].Run.Quantile(0.5), 3*time.Second)
	near("the wait", sums[0].Wait.Quantile(0.5), 10*time.Second)
}

// buryMany makes dead letters of n messages in a queue of their own.
func (k *kit) buryMany(name string, n int) {
	k.Helper()
	envs := make([]*symphony.Envelope, n)
	for i := range envs {
		envs[i] = message(on(name))
	}
	k.send(envs...)
	for left := n; left > 0; {
		ds := k.receiveSome(claimOf("w", left, symphony.QueueClaim{Name: name}))
		vs := make([]symphony.Verdict, len(ds))
		for i, d := range ds {
			vs[i] = verdict(d, symphony.Failed)
		}
		k.settle(vs...)
		left -= len(ds)
	}
}

func bulkRetry(k *kit) {
	const n = 1203
	k.buryMany("side", n)
	k.buryMany("other", 3)
	var told []monitor.Bulk
	b, err := monitor.RunBulk(k.ctx, k.Transport, monitor.Bulk{Action: monitor.ActionRetry, Search: monitor.Search{Queue: "side"}, By: "suite"},
		func(b monitor.Bulk) { told = append(told, b) })
	if err != nil || b.State != monitor.BulkDone || b.Done != n || b.Refused != 0 || b.AtMost != n || b.FinishedAt.IsZero() || b.CreatedAt.IsZero() {
		k.Fatalf("%+v, %v; want %d done", b, err, n)
	}
	if len(told) < 3 || told[0].Done >= n || told[0].State != monitor.BulkRunning {
		k.Errorf("progress was told %d times, first %+v", len(told), told)
	}
	k.counted("when they are retried", map[countOf]int64{{"side", typ, monitor.Pending}: n, {"other", typ, monitor.Failed}: 3})
	list, err := power1[monitor.BulkStore](k).Bulks(k.ctx)
	if err != nil || len(list) != 1 {
		k.Fatalf("Bulks: %+v, %v", list, err)
	}
	equal(k, "the stored bulk", list[0], b)
}

// someBulk reprioritizes messages of a queue.
func someBulk() monitor.Bulk {
	return monitor.Bulk{Action: monitor.ActionPriority, Priority: 9, Search: monitor.Search{Queue: "side"}}
}

func (k *kit) sendMany(n int) {
	k.Helper()
	envs := make([]*symphony.Envelope, n)
	for i := range envs {
		envs[i] = message(on("side"))
	}
	k.sendAll(envs)
}

func bulkDelay(k *kit) {
	k.Advance(time.Hour) // the clock of the store is not that of the process
	k.sendMany(1200)
	b := monitor.Bulk{Action: monitor.ActionReschedule, Due: monitor.Due{Delay: time.Hour}, Search: monitor.Search{Queue: "side"}}
	b, err := monitor.RunBulk(k.ctx, k.Transport, b, func(monitor.Bulk) { k.Advance(10 * time.Second) })
	if err != nil || b.Done != 1200 {
		k.Fatalf("%+v, %v; want 1200 done", b, err)
	}
	for _, id := range k.search(monitor.Search{Queue: "side"}) {
		r, err := power1[monitor.Finder](k).Find(k.ctx, id)
		if late := r.AvailableAt.Sub(b.CreatedAt) - time.Hour; err != nil || late < 0 || late > time.Second {
			k.Fatalf("due %v after the hour, %v", late, err)
		}
	}
}

func bulkAbort(k *kit) {
	k.sendMany(1800)
	store := power1[monitor.BulkStore](k)
	b, err := monitor.RunBulk(k.ctx, k.Transport, someBulk(), func(b monitor.Bulk) {
		if err := store.AbortBulk(k.ctx, b.ID); err != nil && b.State == monitor.BulkRunning {
			k.Errorf("AbortBulk: %v", err)
		}
	})
	if err != nil || b.State != monitor.BulkAborted || b.Done < 1 || b.Done >= 1800 {
		k.Fatalf("%+v, %v; want one that was aborted in between", b, err)
	}
	done := 0
	for _, id := range k.search(monitor.Search{Queue: "side"}) {
		if r, err := power1[monitor.Finder](k).Find(k.ctx, id); err == nil && r.Priority == 9 {
			done++
		}
	}
	equal(k, "how many were changed", int64(done), b.Done)
	if err := store.AbortBulk(k.ctx, b.ID); !errors.Is(err, monitor.ErrNotFound) {
		k.Errorf("AbortBulk of one that has ended: %v, want ErrNotFound", err)
	}
}

func bulkGoOn(k *kit) {
	k.sendMany(1200)
	store := power1[monitor.BulkStore](k)
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	first, err := monitor.RunBulk(ctx, k.Transport, someBulk(), func(monitor.Bulk) { cancel() })
	if err == nil || first.State != monitor.BulkRunning {
		k.Fatalf("%+v, %v; want one that was interrupted", first, err)
	}
	list, err := store.Bulks(k.ctx)
	if err != nil || len(list) != 1 || list[0].State != monitor.BulkRunning {
		k.Fatalf("Bulks: %+v, %v", list, err)
	}
	if _, err := monitor.RunBulk(k.ctx, k.Transport, list[0], nil); !errors.Is(err, monitor.ErrHeld) {
		k.Errorf("a bulk that somebody may be running: %v, want ErrHeld", err)
	}
	k.Advance(monitor.HoldBulk + time.Second)
	b, err := monitor.RunBulk(k.ctx, k.Transport, list[0], nil)
	if err != nil || b.State != monitor.BulkDone || b.Done != 1200 {
		k.Fatalf("%+v, %v; want 1200 done", b, err)
	}
	// One that nobody runs any more ends at once.
	lost := someBulk()
	lost.ID, lost.State, lost.Holder = symphony.NewID(), monitor.BulkRunning, "nobody"
	if _, err := store.SaveBulk(k.ctx, lost); err != nil {
		k.Fatalf("SaveBulk: %v", err)
	}
	k.Advance(monitor.HoldBulk + time.Second)
	if err := store.AbortBulk(k.ctx, lost.ID); err != nil {
		k.Fatalf("AbortBulk: %v", err)
	}
	list, err = store.Bulks(k.ctx)
	i := slices.IndexFunc(list, func(b monitor.Bulk) bool { return b.ID == lost.ID })
	if err != nil || i < 0 || list[i].State != monitor.BulkAborted || list[i].FinishedAt.IsZero() {
		k.Errorf("Bulks: %+v, %v; want the lost one aborted", list, err)
	}
}
