//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/symphony-messenger/symphony/internal/history"
)

// A result is the judgement of a run.
type result struct {
	history.Report
	server *serverFigures // nil: the store is no server
	seen   seen
	faults map[string]int // of calls of the store, if there were to be some
}

// seen counts what a run has gone through: a run in which nothing went wrong shows nothing.
type seen struct {
	claims     int
	retried    int // claims after a failure
	crashed    int // claims of messages whose lease had run out before
	lost       int // verdicts that came too late
	gone       int // renewals that came too late
	inTx       int // completed in their handlers' transactions
	undone     int // transactions of handlers that turned out not to be committed
	snoozed    int
	released   int
	duplicates int
	rolledBack int // transactions of producers
	refused    int // sends
	unsure     int // sends, and commits of transactions with sends, of which nobody learnt whether they stored anything
	ends       map[history.Outcome]int
}

// judge holds the history against the store.
func (c config) judge(ctx context.Context, on scene) (r result, err error) {
	events, unreadable := history.Read(on.base.Events)
	final, unsound := on.store.final(ctx)
	final.Counters, err = countsOf(ctx, on.store)
	if err != nil {
		return r, errors.Join(unreadable, unsound, err)
	}
	for _, e := range events {
		if e.Kind == history.Effect && !e.InTx {
			final.Effects[e.Message]++
		}
	}
	retries := maxRetries
	final.Rules = history.Rules{
		MaxRetries: &retries, MaxCrashes: maxCrashes, Backoff: leastBackoff, DrainWithin: c.drainWithin,
	}
	r.Report = history.Check(events, final)
	var server error
	if on.place.server != nil {
		r.server, server = on.place.server.judge(events)
	}
	r.seen = look(events)
	r.seen.ends = make(map[history.Outcome]int)
	for state, ids := range final.IDs {
		r.seen.ends[state] = len(ids)
	}
	if n := len(r.Violations); n > 0 {
		err = fmt.Errorf("%d violations", n)
	}
	return r, errors.Join(unreadable, unsound, server, err)
}

func look(events []history.Event) (s seen) {
	for _, e := range events {
		switch e.Kind {
		case history.Claim:
			s.claims++
			if e.Crashes > 0 {
				s.crashed++
			}
			if e.Attempt > 1 {
				s.retried++
			}
		case history.Verdict:
			s.verdict(e)
		case history.Renew:
			if e.Phase == history.Lost {
				s.gone++
			}
		case history.Enqueue:
			switch e.Phase {
			case history.Duplicate:
				s.duplicates++
			case history.Refused:
				s.refused++
			case history.Unknown:
				s.unsure++
			}
		case history.Tx:
			switch e.Phase {
			case history.Rollback:
				s.rolledBack++
			case history.Unknown:
				s.unsure++
			}
		}
	}
	return s
}

func (s *seen) verdict(e history.Event) {
	switch {
	case e.Phase == history.Lost:
		s.lost++
	case e.InTx && e.Phase == history.OK:
		s.inTx++
	case e.InTx && e.Phase == history.Refused && e.Op == 0:
		s.undone++
	case e.Phase != history.Call:
	case e.Outcome == history.Snoozed:
		s.snoozed++
	case e.Outcome == history.Released:
		s.released++
	}
}

// tell writes for people what a run has gone through and what it broke.
func (r result) tell(log *log.Logger) {
	log.Printf("seen: %+v, %d reruns of what a killed process held, %d unknown outcomes", r.seen, r.Reruns, r.Unknown)
	if r.faults != nil {
		log.Printf("faults: %v", r.faults)
	}
	if r.server != nil {
		log.Printf("the server recovered %d times from a crash, and found %d deadlocks", r.server.recoveries, r.server.Deadlocks)
	}
	const most = 20
	for i, v := range r.Violations {
		if i == most {
			log.Printf("and %d more violations", len(r.Violations)-most)
			return
		}
		log.Println(v)
	}
}
