// Package tally adds up what workers did, minute by minute, in the process that did it: stores write the sums every
// two seconds, not a row for each message.
package tally

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Every is how often sums are written.
const Every = 2 * time.Second

// A Tally is sums that are not written yet. Its zero value is ready to use; it is safe for concurrent use.
type Tally struct {
	mu   sync.Mutex
	sums map[key]*monitor.Minute
	last time.Time // when they were taken
}

type key struct{ queue, typ string }

// Add counts verdicts that were settled with err, the error of Settle that names those that were not applied as they stand.
func (t *Tally) Add(verdicts []symphony.Verdict, err error) {
	var lost, undone []symphony.Token
	if err != nil {
		if e, ok := errors.AsType[*symphony.LostError](err); ok {
			lost = e.Tokens
		}
		if e, ok := errors.AsType[*symphony.NotCommittedError](err); ok {
			undone = e.Tokens
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var m *monitor.Minute
	for i := range verdicts {
		v := &verdicts[i]
		if v.Attempt == nil || slices.Contains(lost, v.Token) {
			continue
		}
		env := v.Attempt.Envelope
		if m == nil || m.Type != env.Type || m.Queue != env.Queue { // mostly the same as the one before
			m = t.of(env)
		}
		switch outcome := v.Outcome; {
		case outcome == symphony.Completed, v.InTx && !slices.Contains(undone, v.Token):
			m.Completed++
		case outcome == symphony.Retried:
			m.Retried++
		case outcome == symphony.Failed:
			m.Failed++
		default:
			m.Other++
		}
		m.Run = m.Run.Observe(v.Took)
		if due := v.Attempt.DueAt; !due.IsZero() {
			m.Wait = m.Wait.Observe(v.Attempt.ClaimedAt.Sub(due))
		}
	}
}

func (t *Tally) of(env *symphony.Envelope) *monitor.Minute {
	k := key{env.Queue, env.Type}
	m := t.sums[k]
	if m == nil {
		if t.sums == nil {
			t.sums = make(map[key]*monitor.Minute)
		}
		m = &monitor.Minute{Queue: env.Queue, Type: env.Type}
		t.sums[k] = m
	}
	return m
}

// Due reports whether there are sums that should be written now.
func (t *Tally) Due() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sums) > 0 && time.Since(t.last) >= Every
}

// Take returns the sums, in the order of queue and type, and begins with new ones. Whoever cannot write them gives them back.
func (t *Tally) Take() []monitor.Minute {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	all := make([]monitor.Minute, 0, len(t.sums))
	for _, m := range t.sums {
		all = append(all, *m)
	}
	t.sums = nil
	return monitor.Sum(all)
}

// GiveBack adds sums that were taken.
func (t *Tally) GiveBack(all []monitor.Minute) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range all {
		t.of(&symphony.Envelope{Queue: m.Queue, Type: m.Type}).Add(m)
	}
}
