package schedule

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

// Bounds of one transaction. What is left over is due, and the next one goes on with it.
const (
	maxPassMessages = 2000
	maxRunMessages  = 200 // of one schedule
	maxPassTime     = 100 * time.Millisecond
	keptTicks       = 100
	keptMessages    = 20 // of a schedule whose messages pile up
)

// A pass decides about schedules that are due, in one transaction and at one time of the store's clock.
type pass struct {
	now      time.Time
	custom   map[string]Trigger // of this program, by schedule
	keep     int                // ticks of a schedule and outcome
	messages int                // that may still be made
	until    time.Time          // by the process's monotonic clock: stop going through missed ticks then
}

func newPass(now time.Time, custom map[string]Trigger, keep int) *pass {
	return &pass{now: now, custom: custom, keep: keep, messages: maxPassMessages, until: time.Now().Add(maxPassTime)}
}

// A firing is what becomes of one schedule in a pass.
type firing struct {
	*pass
	change Change
	alive  []Live // messages of ticks before, of this pass too
	fired  []int  // ticks of change that made them
	missed *Tick  // the row of ticks that are missed, while it grows
}

// fire decides about all ticks of e that are due, as far as the bounds of the pass allow. The error says that e cannot
// be understood.
func (p *pass) fire(e Entry) (Change, error) {
	if e.Kind == KindCustom {
		e.trigger = p.custom[e.Name]
	}
	cal, err := e.checked()
	if err != nil {
		return Change{}, err
	}
	f := firing{pass: p, change: Change{Entry: e, Write: Advance}, alive: e.Live}
	if f.exhausted() {
		return f.end(time.Time{}), nil
	}
	for n, tick := 0, e.NextRunAt; ; n++ {
		after, err := cal.next(tick)
		if err != nil {
			return Change{}, err
		}
		due := !after.IsZero() && !after.After(p.now)
		switch late := e.lateBy(); {
		case late > 0 && p.now.Sub(tick) > late, e.Missed != MissedAll && due:
			f.miss(tick)
		case p.messages == 0 || len(f.fired) == maxRunMessages: // tick stays the next one
			return f.end(tick), nil
		default:
			f.run(tick)
			if f.exhausted() {
				after, due = time.Time{}, false
			}
		}
		if !due || n%64 == 63 && time.Now().After(p.until) {
			return f.end(after), nil
		}
		tick = after
	}
}

func (f *firing) exhausted() bool {
	e := &f.change.Entry
	return e.MaxRuns > 0 && e.RunCount >= e.MaxRuns
}

func (f *firing) miss(tick time.Time) {
	f.change.Entry.MissedCount++
	if f.missed != nil {
		f.missed.Runs++
		f.missed.Until = tick
		return
	}
	f.change.Ticks = append(f.change.Ticks, Tick{Schedule: f.change.Entry.Name, At: tick, Outcome: TickMissed, RecordedAt: f.now, Runs: 1})
	f.missed = &f.change.Ticks[len(f.change.Ticks)-1]
}

// run makes the message of a tick, unless one before it is in the way.
func (f *firing) run(tick time.Time) {
	f.missed = nil
	e := &f.change.Entry
	t := Tick{Schedule: e.Name, At: tick, Outcome: TickFired, RecordedAt: f.now, Runs: 1}
	if f.blocked() {
		t.Outcome = TickSkipped
		e.SkippedCount++
		f.change.Ticks = append(f.change.Ticks, t)
		return
	}
	if e.Overlap == OverlapCancel {
		f.cancel()
	}
	t.Envelope = e.envelope(tick, true)
	f.messages--
	e.RunCount++
	e.LastTickAt, e.LastRunAt = tick, f.now
	f.alive = append(f.alive, Live{ID: t.Envelope.ID})
	f.fired = append(f.fired, len(f.change.Ticks))
	f.change.Ticks = append(f.change.Ticks, t)
}

func (f *firing) blocked() bool {
	switch f.change.Entry.Overlap {
	case OverlapSkip:
		return len(f.alive) > 0
	case OverlapQueue: // the group lets it wait for one that has been started
		return slices.ContainsFunc(f.alive, func(l Live) bool { return !l.Started })
	}
	return false
}

// cancel cancels the messages of ticks before. One of this pass is not even stored.
func (f *firing) cancel() {
	e := &f.change.Entry
	for _, i := range f.fired {
		t := &f.change.Ticks[i]
		t.Outcome, t.Envelope = TickSkipped, nil
		e.RunCount--
		e.SkippedCount++
		f.messages++
	}
	f.fired = nil
	for _, l := range e.Live {
		if !slices.Contains(f.change.Cancel, l.ID) {
			f.change.Cancel = append(f.change.Cancel, l.ID)
		}
	}
	f.alive = nil
}

// end says that next is the next tick.
func (f *firing) end(next time.Time) Change {
	e := &f.change.Entry
	e.NextRunAt, e.LastError = next, ""
	if len(f.fired) > 0 {
		e.LastMessages = nil // Update adds the new ones
		for _, l := range e.Live[max(0, len(e.Live)-keptMessages):] {
			e.LastMessages = append(e.LastMessages, l.ID)
		}
	}
	// Not each time: the ticks are counted for it.
	if before := e.RunCount + e.MissedCount + e.SkippedCount; before%16 == 0 || len(f.change.Ticks) > 8 {
		f.change.Keep = f.keep
	}
	return f.change
}

// Headers of the messages of schedules; see [TickFrom].
const (
	HeaderSchedule = "symphony-schedule"
	HeaderTick     = "symphony-tick"
)

// envelope returns the message of a tick. By the clock it is due at the tick and its jitter; one that somebody asked
// for at once.
func (s *Schedule) envelope(tick time.Time, byClock bool) *symphony.Envelope {
	m := &s.Message
	env := &symphony.Envelope{
		ID: symphony.NewID(), Type: m.Type, Version: m.Version, Body: m.Body, ContentType: m.ContentType, Headers: maps.Clone(m.Headers),
		Tags: m.Tags, Queue: m.Queue, Group: m.Group, Priority: m.Priority, Expires: m.Expires, MaxRetries: m.MaxRetries,
	}
	if env.Headers == nil {
		env.Headers = make(map[string]string, 2)
	}
	env.Headers[HeaderSchedule] = s.Name
	env.Headers[HeaderTick] = tick.UTC().Format(time.RFC3339Nano)
	if byClock {
		env.At = tick.Add(s.jitter(tick))
	}
	if s.Overlap == OverlapQueue {
		env.Group = cmp.Or(env.Group, "schedule:"+s.Name)
	}
	return env
}

// jitter is how long after a tick its message is due: the same whoever fires it.
func (s *Schedule) jitter(tick time.Time) time.Duration {
	if s.Jitter == 0 {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", s.Name, tick.UnixMilli()))
	most := uint64(s.Jitter.Milliseconds()) + 1
	return time.Duration(binary.BigEndian.Uint64(sum[:])%most) * time.Millisecond
}
