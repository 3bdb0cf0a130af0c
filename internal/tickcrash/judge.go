//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// judge compares what the schedules should have done with the ticks and the messages that there are.
func (c *config) judge(ctx context.Context, s *store, r result) (result, error) {
	m := &schedule.Manager{Bus: &symphony.Bus{Transport: s.Transport}}
	entries, err := m.List(ctx, schedule.Query{Limit: 10_000})
	if err != nil {
		return r, err
	}
	messages := make(map[symphony.ID]bool)
	var lags []time.Duration
	var errs []error
	for _, e := range entries {
		ticks, err := m.Ticks(ctx, schedule.TickQuery{Schedule: e.Name, Limit: 1 << 30})
		if err != nil {
			return r, err
		}
		slices.Reverse(ticks)
		if err := r.judgeOne(e, ticks); err != nil {
			errs = append(errs, fmt.Errorf("schedule %s (missed %s): %w", e.Name, e.Missed, err))
		}
		for _, t := range ticks {
			for _, id := range t.Messages {
				if messages[id] {
					r.Doubled++
				}
				messages[id] = true
			}
			lags = append(lags, t.Lag())
		}
	}
	errs = append(errs, r.judgeMessages(ctx, s, messages))
	if r.Lost+r.Doubled > 0 {
		errs = append(errs, fmt.Errorf("%d ticks or messages are lost, %d doubled", r.Lost, r.Doubled))
	}
	if r.Fired == 0 {
		errs = append(errs, errors.New("nothing was fired"))
	}
	if slices.Sort(lags); len(lags) > 0 {
		r.LagP50 = float64(lags[len(lags)/2].Microseconds()) / 1000
		r.LagP99 = float64(lags[len(lags)*99/100].Microseconds()) / 1000
	}
	return r, errors.Join(errs...)
}

// judgeOne requires that every tick from the first to the last is accounted for once.
func (r *result) judgeOne(e schedule.Entry, ticks []schedule.Tick) error {
	if len(ticks) == 0 {
		return errors.New("it has no ticks")
	}
	var fired, missed int64
	at := ticks[0].At
	for i, t := range ticks {
		if !t.At.Equal(at) {
			r.Lost++
			return fmt.Errorf("the tick of %v comes after that of %v, want %v", t.At, ticks[max(i-1, 0)].At, at)
		}
		last := t.At
		switch {
		case t.Outcome == schedule.TickFired && len(t.Messages) == 1:
			fired++
		case t.Outcome == schedule.TickMissed && len(t.Messages) == 0:
			missed += t.Runs
			if !t.Until.IsZero() {
				last = t.Until
			}
			// A later tick was due when it was recorded, and that one fired.
			if e.Missed == schedule.MissedAll || i+1 == len(ticks) || ticks[i+1].Outcome != schedule.TickFired || !ticks[i+1].RecordedAt.Equal(t.RecordedAt) {
				r.Lost++
				return fmt.Errorf("the tick of %v is missed, against the policy", t.At)
			}
		default:
			return fmt.Errorf("tick %+v", t)
		}
		between, err := e.Next(t.At, int(t.Runs))
		if err != nil {
			return err
		}
		at = between[len(between)-1]
		if t.Runs > 1 && !between[len(between)-2].Equal(last) {
			return fmt.Errorf("%d ticks were missed from %v on, the last is %v, want %v", t.Runs, t.At, last, between[len(between)-2])
		}
	}
	r.Fired += int(fired)
	r.Missed += int(missed)
	r.Ticks += int(fired + missed)
	if !e.NextRunAt.Equal(at) || e.RunCount != fired || e.MissedCount != missed {
		return fmt.Errorf("its next tick is %v, want %v; it counts %d fired and %d missed, the ticks say %d and %d", e.NextRunAt, at, e.RunCount, e.MissedCount, fired, missed)
	}
	return nil
}

// judgeMessages requires that there is each message of a tick, and no other.
func (r *result) judgeMessages(ctx context.Context, s *store, want map[symphony.ID]bool) error {
	finder, _ := symphony.As[monitor.Finder](s.Transport)
	for id := range want {
		if _, err := finder.Find(ctx, id); errors.Is(err, monitor.ErrNotFound) {
			r.Lost++
		} else if err != nil {
			return err
		}
	}
	counter, _ := symphony.As[monitor.Counter](s.Transport)
	counts, err := counter.Counts(ctx)
	if err != nil {
		return err
	}
	n := 0
	for _, c := range counts.Counts {
		n += int(c.N)
	}
	if n != len(want) {
		r.Doubled += max(n-len(want), 0)
		return fmt.Errorf("there are %d messages for %d ticks", n, len(want))
	}
	return nil
}
