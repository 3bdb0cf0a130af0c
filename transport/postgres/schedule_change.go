package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
)

// changing is the changes of one update, on their way into its transaction.
type changing struct {
	t       *Transport
	ex      executor
	now     time.Time
	changes []schedule.Change
	sent    []*symphony.Envelope
}

func (c *changing) apply(ctx context.Context) error {
	if err := c.cancel(ctx); err != nil {
		return fmt.Errorf("cancel messages of ticks before: %w", err)
	}
	if err := c.fire(ctx); err != nil {
		return fmt.Errorf("fire: %w", err)
	}
	if err := c.advance(ctx); err != nil {
		return fmt.Errorf("advance: %w", err)
	}
	if err := c.write(ctx, schedule.Create, c.t.sql.schedulesCreate); err != nil {
		return fmt.Errorf("add: %w", err)
	}
	if err := c.write(ctx, schedule.Replace, c.t.sql.schedulesReplace); err != nil {
		return fmt.Errorf("change: %w", err)
	}
	return c.remove(ctx)
}

func (c *changing) run(ctx context.Context, text string, args ...any) error {
	return c.ex.query(ctx, text, args, func(scanner) error { return nil })
}

func (c *changing) cancel(ctx context.Context) error {
	var ids [][16]byte
	for i := range c.changes {
		for _, id := range c.changes[i].Cancel {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return c.run(ctx, c.t.sql.schedulesCancel, ids, string(c.t.options.History), c.t.options.Name)
}

// A tickKey is what makes a tick unique.
type tickKey struct {
	name    string
	at      int64 // microseconds
	outcome schedule.Outcome
}

func keyOf(t *schedule.Tick) tickKey { return tickKey{t.Schedule, t.At.UnixMicro(), t.Outcome} }

// fire records all ticks, and stores the messages of those that were not there before.
func (c *changing) fire(ctx context.Context) error {
	var ticks []*schedule.Tick
	for i := range c.changes {
		for n := range c.changes[i].Ticks {
			ticks = append(ticks, &c.changes[i].Ticks[n])
		}
	}
	if len(ticks) == 0 {
		return nil
	}
	subs := c.t.subs.known()
	if subs == nil {
		var err error
		if subs, err = c.t.subs.read(ctx, c.ex, c.t.sql.subscriptions); err != nil {
			return err
		}
	}
	// Of each tick the messages: for the handler and each subscriber.
	copies := make(map[*schedule.Tick][]*symphony.Envelope, len(ticks))
	ids := make(map[*schedule.Tick][]symphony.ID, len(ticks))
	for _, t := range ticks {
		if t.Envelope == nil {
			continue
		}
		copies[t], _ = subs.fanOut([]*symphony.Envelope{t.Envelope})
		for _, env := range copies[t] {
			ids[t] = append(ids[t], env.ID)
		}
	}
	fresh, err := c.record(ctx, ticks, ids)
	if err != nil {
		return err
	}
	for i := range c.changes {
		change := &c.changes[i]
		for n := range change.Ticks {
			t := &change.Ticks[n]
			repeated := !fresh[keyOf(t)]
			if change.Settle(n, ids[t], repeated); !repeated {
				c.sent = append(c.sent, copies[t]...)
			}
		}
	}
	return c.send(ctx, subs)
}

func (c *changing) record(ctx context.Context, ticks []*schedule.Tick, ids map[*schedule.Tick][]symphony.ID) (fresh map[tickKey]bool, err error) {
	n := len(ticks)
	names, ats, outcomes, untils := make([]string, n), make([]time.Time, n), make([]string, n), make([]*time.Time, n)
	runs, backfills, messages := make([]int64, n), make([]bool, n), make([]*string, n)
	for i, t := range ticks {
		names[i], ats[i], outcomes[i], untils[i] = t.Schedule, t.At, string(t.Outcome), when(t.Until)
		runs[i], backfills[i], messages[i] = t.Runs, t.Backfill, idArray(ids[t])
	}
	fresh = make(map[tickKey]bool, n)
	return fresh, c.ex.query(ctx, c.t.sql.ticksRecord, []any{c.now, names, ats, outcomes, untils, runs, backfills, messages}, func(scan scanner) error {
		var t schedule.Tick
		err := scan(&t.Schedule, &t.At, &t.Outcome)
		fresh[keyOf(&t)] = true
		return err
	})
}

// send stores the messages of fresh ticks, if the subscriptions are still those that they were made for.
func (c *changing) send(ctx context.Context, subs *subscribed) error {
	if len(c.sent) == 0 {
		return nil
	}
	rows, err := newColumns(c.sent)
	if err != nil {
		return err
	}
	stored := true
	err = c.ex.query(ctx, c.t.sql.accept, rows.all(subs.number), func(scanner) error {
		stored = false // none has a key that another message could have
		return nil
	})
	if err == nil && !stored {
		if _, err = c.t.subs.read(ctx, c.ex, c.t.sql.subscriptions); err == nil {
			err = errAnew
		}
	}
	return err
}

// advance writes what ticks have changed, and deletes old ticks.
func (c *changing) advance(ctx context.Context) error {
	var names, trimmed []string
	var nexts, ticks, runs []*time.Time
	var counts, missed, skipped, keep []int64
	var messages, problems []*string
	for i := range c.changes {
		change := &c.changes[i]
		e := &change.Entry
		if change.Keep > 0 {
			trimmed, keep = append(trimmed, e.Name), append(keep, int64(change.Keep))
		}
		if change.Write != schedule.Advance {
			continue
		}
		names, nexts, ticks, runs = append(names, e.Name), append(nexts, when(e.NextRunAt)), append(ticks, when(e.LastTickAt)), append(runs, when(e.LastRunAt))
		counts, missed, skipped = append(counts, e.RunCount), append(missed, e.MissedCount), append(skipped, e.SkippedCount)
		messages, problems = append(messages, idArray(e.LastMessages)), append(problems, null(e.LastError))
	}
	if len(names) > 0 {
		if err := c.run(ctx, c.t.sql.schedulesAdvance, names, nexts, ticks, runs, counts, missed, skipped, messages, problems); err != nil {
			return err
		}
	}
	if len(trimmed) == 0 {
		return nil
	}
	return c.run(ctx, c.t.sql.ticksTrim, trimmed, keep)
}

// Of one statement that adds or changes schedules.
const (
	writeRows  = 1000
	writeBytes = 8 << 20
)

// write adds or changes schedules.
func (c *changing) write(ctx context.Context, how schedule.Write, text string) error {
	var rows []scheduleRow
	bytes := 0
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		arg, err := json.Marshal(rows)
		if err != nil {
			return err
		}
		tag, err := c.exec(ctx, text, string(arg))
		if err == nil && tag != int64(len(rows)) {
			err = errAnew
		}
		rows, bytes = nil, 0
		return err
	}
	for i := range c.changes {
		if c.changes[i].Write != how {
			continue
		}
		r, err := newScheduleRow(&c.changes[i].Entry)
		if err != nil {
			return err
		}
		rows, bytes = append(rows, r), bytes+len(r.Body)
		if len(rows) == writeRows || bytes > writeBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// exec returns how many rows a statement with RETURNING has changed.
func (c *changing) exec(ctx context.Context, text string, args ...any) (n int64, err error) {
	return n, c.ex.query(ctx, text, args, func(scanner) error { n++; return nil })
}

func (c *changing) remove(ctx context.Context) error {
	var names []string
	for i := range c.changes {
		if c.changes[i].Write == schedule.Remove {
			names = append(names, c.changes[i].Entry.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return c.run(ctx, c.t.sql.schedulesRemove, names)
}
