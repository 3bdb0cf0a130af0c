package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

// hourly are schedules of the owner "test" that tick each hour: seldom enough that a tick in the middle of a test is rare.
func hourly(n int, change func(*schedule.Schedule)) (all []schedule.Schedule) {
	for i := range n {
		s := schedule.Schedule{Name: fmt.Sprintf("s%05d", i), Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: "t"}}
		if change != nil {
			change(&s)
		}
		all = append(all, s)
	}
	return all
}

func quietBus(t symphony.Transport) *symphony.Bus {
	return &symphony.Bus{Transport: t, Logger: slog.New(slog.DiscardHandler)}
}

func applyTo(t *testing.T, store *Transport, all []schedule.Schedule) *schedule.Manager {
	t.Helper()
	m := &schedule.Manager{Bus: quietBus(store)}
	if _, err := m.Apply(t.Context(), "test", all, false); err != nil {
		t.Fatal(err)
	}
	return m
}

func fireIn(t *testing.T, store *Transport) int {
	t.Helper()
	n, err := (&schedule.Scheduler{Bus: quietBus(store)}).Fire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestScheduleSessions: schedules mean the same whatever is set for the role, with a pooler and without, and in a schema whose name is a keyword.
func TestScheduleSessions(t *testing.T) {
	t.Parallel()
	walk := func(t *testing.T, store *Transport) {
		at := time.Date(2031, 2, 3, 4, 5, 6, 789e6, time.UTC)
		want := schedule.Schedule{
			Name: "s", Owner: "test", Kind: schedule.KindInterval, Expression: "1h", Anchor: at, Missed: schedule.MissedAll, Window: 25 * time.Hour,
			Overlap: schedule.OverlapCancel, Jitter: 1500 * time.Millisecond, Until: at.AddDate(1, 0, 0),
			Exclude: []schedule.Period{{From: at.AddDate(0, 1, 0), Until: at.AddDate(0, 2, 0)}},
			Message: schedule.Message{Type: "t", ContentType: "text/plain", Body: []byte(`\x00 'quoted' \\`), Queue: "q", Priority: 5, Headers: map[string]string{"a": `\"'`}},
		}
		m := applyTo(t, store, []schedule.Schedule{want})
		e, err := m.Find(t.Context(), "s")
		if err != nil || fmt.Sprintf("%+v", e.Schedule) != fmt.Sprintf("%+v", want) || !e.NextRunAt.Equal(at) {
			t.Fatalf("%+v %v, want %+v", e, err, want)
		}
		for range 2 {
			if _, err := m.Run(t.Context(), "s"); err != nil {
				t.Fatal(err)
			}
		}
		ticks, err := m.Ticks(t.Context(), schedule.TickQuery{Schedule: "s"})
		if err != nil || len(ticks) != 2 {
			t.Fatal(ticks, err)
		}
		if r, err := store.Find(t.Context(), ticks[0].Messages[0]); err != nil || r.Status != monitor.Pending || string(r.Body) != string(want.Message.Body) {
			t.Errorf("%+v %v", r, err)
		}
		if _, err := m.Edit(t.Context(), "s", func(s *schedule.Schedule) error { s.Until = time.Time{}; return nil }, false); err != nil {
			t.Error(err)
		}
		if all, err := m.List(t.Context(), schedule.Query{Owner: "test"}); err != nil || len(all) != 1 {
			t.Error(all, err)
		}
		if err := m.Delete(t.Context(), "s"); err != nil {
			t.Error(err)
		}
		if _, err := (&schedule.Scheduler{Bus: quietBus(store)}).Fire(t.Context()); err != nil {
			t.Error(err)
		}
	}
	t.Run("quoted schema", func(t *testing.T) { walk(t, quotedSchema(t)) })
	for name, settings := range roleSettings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := roleDSN(t, settings)
			openDSN(t, dsn, nil)
			walk(t, openDSN(t, dsn, nil))
			if name != "hostile path" { // which is for whoever owns the role to set, behind a pooler
				walk(t, openDSN(t, dsn+"&pgbouncer=true", &Options{Logger: slog.New(slog.DiscardHandler)}))
			}
		})
	}
}

// TestScheduleNewSubscriber: a tick reaches a subscriber that came after this process last read the subscriptions.
func TestScheduleNewSubscriber(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	m := applyTo(t, store, hourly(3, func(s *schedule.Schedule) { s.Overlap = schedule.OverlapQueue }))
	run := func() []symphony.ID {
		t.Helper()
		tick, err := m.Run(t.Context(), "s00001")
		if err != nil {
			t.Fatal(err)
		}
		return tick.Messages
	}
	if ids := run(); len(ids) != 1 {
		t.Fatal(ids)
	}
	other := openDSN(t, store.config.conn.ConnString()+"&schema="+store.sql.schema, nil)
	for i, sub := range []symphony.Subscription{{Type: "t", Subscriber: "audit"}, {Type: "t"}} {
		if err := other.Subscribe(t.Context(), []symphony.Subscription{sub}); err != nil {
			t.Fatal(err)
		}
		if ids := run(); len(ids) != i+1 {
			t.Errorf("after %d subscriptions a tick has %d messages", i+1, len(ids))
		}
	}
}

// TestScheduleNotHeldUp: neither a schedule that somebody has locked, nor a message that a handler completes in an open transaction, keeps other
// schedules from firing.
func TestScheduleNotHeldUp(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	clock := &testClock{store: store}
	m := applyTo(t, store, hourly(3, func(s *schedule.Schedule) { s.Overlap = schedule.OverlapCancel }))
	clock.advance(t, time.Hour)
	if n := fireIn(t, store); n != 3 {
		t.Fatalf("%d fired", n)
	}
	first, err := m.Find(t.Context(), "s00000")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	for _, lock := range []string{
		"select from symphony.messenger_schedules where name = 's00002' for update",
		"select from symphony.messenger_messages where id = '" + first.LastMessages[0].String() + "' for update",
	} {
		if _, err := tx.Exec(t.Context(), store.sql.in(lock)); err != nil {
			t.Fatal(err)
		}
	}
	clock.advance(t, time.Hour)
	begun := time.Now()
	if n := fireIn(t, store); n != 2 {
		t.Errorf("%d fired, want the two that nobody has locked", n)
	}
	if took := time.Since(begun); late(t, store, took, 1800*time.Millisecond) {
		t.Errorf("that took %v", took)
	}
	// Whoever waits for the next tick is told when that is, and not that one is due that somebody else has.
	u, err := store.Update(t.Context(), schedule.Selection{Due: &schedule.Due{Limit: 10}}, func(time.Time, []schedule.Entry) ([]schedule.Change, error) {
		t.Error("what is locked was chosen")
		return nil, nil
	})
	if err != nil || u.Wait <= 0 || u.Wait > time.Hour {
		t.Errorf("wait %v %v", u.Wait, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := fireIn(t, store); n != 1 {
		t.Errorf("%d fired after the lock was given back", n)
	}
}

// TestScheduleFloor: a schedule before the floor is found by the next look at everything.
func TestScheduleFloor(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	clock := &testClock{store: store}
	m := applyTo(t, store, hourly(2, nil))
	for range slowLooks {
		store.ticking.looked(dueLook{took: time.Second, done: time.Now()})
	}
	clock.advance(t, time.Hour)
	fireIn(t, store)
	back := func(_ time.Time, found []schedule.Entry) ([]schedule.Change, error) {
		found[0].NextRunAt = found[0].LastTickAt.Add(-time.Minute)
		return []schedule.Change{{Entry: found[0], Write: schedule.Advance}}, nil
	}
	if _, err := store.Update(t.Context(), schedule.Selection{Names: []string{"s00000"}}, back); err != nil {
		t.Fatal(err)
	}
	store.ticking.looked(dueLook{took: time.Second, done: time.Now().Add(time.Hour)}) // just now, at all
	store.ticking.mu.Lock()
	store.ticking.on, store.ticking.cost = true, 0
	store.ticking.mu.Unlock()
	if n := fireIn(t, store); n != 0 {
		t.Fatalf("%d schedules were found before the floor: the test shows nothing", n)
	}
	eventually(t, "it is found", func() bool { return fireIn(t, store) > 0 })
	if ticks, err := m.Ticks(t.Context(), schedule.TickQuery{Schedule: "s00000"}); err != nil || len(ticks) < 2 {
		t.Errorf("%+v %v", ticks, err)
	}
}

// TestSchedulePlans: what runs for each tick finds its rows by indexes, among ten thousand schedules with ticks.
func TestSchedulePlans(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	clock := &testClock{store: store}
	m := applyTo(t, store, hourly(10_000, nil))
	clock.advance(t, time.Hour)
	if n := fireIn(t, store); n != 10_000 {
		t.Fatalf("%d fired", n)
	}
	if n, err := m.Ticks(t.Context(), schedule.TickQuery{Schedule: "s00000"}); err != nil || len(n) != 1 {
		t.Fatal(n, err)
	}
	p := newPlanning(t, store, true)
	s := store.sql
	none := []string{}
	p.run(t, "peek", s.schedulesPeek, none, none, (*time.Time)(nil))
	p.run(t, "due", s.schedulesDue, 500, none, none, (*time.Time)(nil))
	p.run(t, "find", s.schedulesFind, []string{"s00007"})
	p.run(t, "lock by name", s.schedulesLock, []string{"s00007"}, "")
	p.run(t, "page", s.schedulesList, (*string)(nil), (*string)(nil), (*string)(nil), "s05000", 50, false)
	names := []string{"s00001", "s00002"}
	times, counts, texts := []*time.Time{nil, nil}, []int64{0, 0}, []*string{nil, nil}
	p.run(t, "advance", s.schedulesAdvance, names, times, times, times, counts, counts, counts, texts, texts)
	p.run(t, "trim", s.ticksTrim, names, []int64{1, 1})
	p.run(t, "ticks", s.ticksList, "s00001", (*string)(nil), (*time.Time)(nil), (*time.Time)(nil), 10)
	for name, plans := range p.plans {
		for _, e := range plans {
			var walk func(n *planNode)
			walk = func(n *planNode) {
				if n.Loops > 0 && n.Type == "Seq Scan" && strings.HasPrefix(n.Relation, "messenger_") || n.Loops*(n.Rows+n.Filtered) > 2000 {
					t.Errorf("%s: %s of %s reads %.0f rows and filters %.0f, %.0f times", name, n.Type, n.Relation, n.Rows, n.Filtered, n.Loops)
				}
				for _, child := range n.Plans {
					walk(child)
				}
			}
			walk(e.Plan)
		}
	}
	if len(p.plans) != 8 || slices.ContainsFunc([]string{"peek", "due"}, func(name string) bool { return len(p.plans[name]) == 0 }) {
		t.Errorf("plans of %d statements", len(p.plans))
	}
}

// TestSchedulesSummary: the view says how schedules stand.
func TestSchedulesSummary(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	clock := &testClock{store: store}
	m := applyTo(t, store, hourly(3, nil))
	clock.advance(t, time.Hour)
	fireIn(t, store)
	if _, err := m.Pause(t.Context(), "s00001"); err != nil {
		t.Fatal(err)
	}
	applyTo(t, store, hourly(2, nil))
	clock.advance(t, 3*time.Hour)
	var got []string
	err := native{store.work}.query(t.Context(), store.sql.in(`select format('%s %s %s %s %s', name, state, run_count, last_message_status, extract(hour from lag))
from symphony.messenger_schedules_summary where last_lag < '1 hour' and last_message_id is not null order by name`), nil, func(scan scanner) error {
		var line string
		err := scan(&line)
		got = append(got, line)
		return err
	})
	want := []string{"s00000 active 1 pending 2", "s00001 paused 1 pending ", "s00002 dropped 1 pending "}
	for i := range got {
		got[i] = strings.Replace(got[i], "pending 3", "pending 2", 1) // the hour may be over
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}
