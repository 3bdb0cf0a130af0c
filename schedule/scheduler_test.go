package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type report struct{ Days int }

func (report) MessageType() string { return "report" }

func (report) Stamps() []symphony.Stamp {
	return []symphony.Stamp{symphony.Priority(7), symphony.Queue("slow")}
}

// running runs f for as long as the test, and returns how to stop it and get its error.
func running(ctx context.Context, f func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return func() error { cancel(); return <-done }
}

// TestDeclare: a scheduler declares lists of other owners beside its own schedules, and each list is of its owner only.
func TestDeclare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{
			Transport: &memory.Transport{}, Logger: slog.New(slog.DiscardHandler),
			Routes: []symphony.Route{{Type: "poll", Queue: "polls"}},
		}
		manager := &schedule.Manager{Bus: bus}
		list := func(names ...string) (all []schedule.Schedule) {
			for _, name := range names {
				all = append(all, schedule.Schedule{Name: name, Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: "poll"}})
			}
			return all
		}
		run := func(s *schedule.Scheduler) {
			t.Helper()
			stop := running(t.Context(), s.Run)
			time.Sleep(time.Second)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
		first := &schedule.Scheduler{Bus: bus, Owner: "shop"}
		if err := errors.Join(first.Add("report", schedule.Every(time.Hour), report{3}), first.Declare("billing", list("a", "b")), first.Declare("mail", list("c"))); err != nil {
			t.Fatal(err)
		}
		run(first)
		second := &schedule.Scheduler{Bus: bus} // declares nothing itself
		if err := second.Declare("billing", list("a")); err != nil {
			t.Fatal(err)
		}
		run(second)
		all, err := manager.List(t.Context(), schedule.Query{Dropped: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range all {
			got = append(got, fmt.Sprintf("%s of %s to %s, dropped %t", e.Name, e.Owner, e.Message.Queue, !e.DroppedAt.IsZero()))
		}
		want := []string{
			"a of billing to polls, dropped false", "b of billing to polls, dropped true", "c of mail to polls, dropped false",
			"report of shop to slow, dropped false",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the store has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestDeclareRefuses: what is wrong with a list is said where it is declared, and by Run.
func TestDeclareRefuses(t *testing.T) {
	bus := &symphony.Bus{Transport: &memory.Transport{}, Logger: slog.New(slog.DiscardHandler)}
	one := schedule.Schedule{Name: "a", Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: "poll"}}
	wrong := one
	wrong.Expression = "1ns"
	for name, c := range map[string]struct {
		declare func(s *schedule.Scheduler) error
		want    string
	}{
		"a wrong interval": {func(s *schedule.Scheduler) error { return s.Declare("billing", []schedule.Schedule{wrong}) }, "at least 1s"},
		"no owner":         {func(s *schedule.Scheduler) error { return s.Declare("", []schedule.Schedule{one}) }, "owner"},
		"twice": {func(s *schedule.Scheduler) error {
			return errors.Join(s.Declare("billing", nil), s.Declare("billing", []schedule.Schedule{one}))
		}, "declared once"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &schedule.Scheduler{Bus: bus}
			for what, err := range map[string]error{"Declare": c.declare(s), "Run": s.Run(t.Context())} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v, want one with %q", what, err, c.want)
				}
			}
		})
	}
	both := &schedule.Scheduler{Bus: bus, Owner: "billing"}
	if err := errors.Join(both.Declare("billing", []schedule.Schedule{one})); err != nil {
		t.Fatal(err)
	}
	if err := both.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "each would drop what the other declares") {
		t.Errorf("one owner in two places: %v", err)
	}
}

// TestDay: for a day, three schedulers and a worker fire and handle every tick on time, and only then.
func TestDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Transport: &memory.Transport{}, Owner: "shop", Logger: slog.New(slog.DiscardHandler)}
		var mu sync.Mutex
		var ticks []time.Time
		symphony.Handle(bus, func(ctx context.Context, m report) error {
			mu.Lock()
			defer mu.Unlock()
			name, tick, ok := schedule.TickFrom(ctx)
			if late := time.Since(tick); !ok || name != "report" || m.Days != 3 || late < 0 || late > time.Second {
				t.Errorf("%s at %v, %v late, %t", name, tick, late, ok)
			}
			ticks = append(ticks, tick)
			return nil
		})
		var stops []func() error
		for range 3 {
			s := &schedule.Scheduler{Bus: bus, Owner: "shop"}
			if err := s.Add("report", schedule.Cron("*/10 * * * *", "Europe/Berlin"), report{3}); err != nil {
				t.Fatal(err)
			}
			stops = append(stops, running(t.Context(), s.Run))
		}
		worker := &symphony.Worker{Bus: bus, Queues: []symphony.WorkerQueue{{Name: "slow"}}}
		stops = append(stops, running(t.Context(), worker.Run))
		begin := time.Now()
		time.Sleep(24*time.Hour + time.Second)
		for _, stop := range stops {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		for i, tick := range ticks {
			if want := begin.Truncate(10 * time.Minute).Add(time.Duration(i+1) * 10 * time.Minute); !tick.Equal(want) {
				t.Fatalf("tick %d is %v, want %v", i, tick, want)
			}
		}
		if len(ticks) != 144 {
			t.Errorf("%d ticks in a day, want 144", len(ticks))
		}
		e, err := (&schedule.Manager{Bus: bus}).Find(context.Background(), "report")
		if err != nil || e.Message.Priority != 7 || e.Message.Queue != "slow" || e.RunCount != 144 {
			t.Errorf("%+v %v", e, err)
		}
	})
}

// TestNewScheduleIsFound: a scheduler that waits for a tick in the far future fires what others add meanwhile.
func TestNewScheduleIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Transport: &memory.Transport{}}
		m := &schedule.Manager{Bus: bus}
		hourly := schedule.Schedule{Name: "hourly", Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: "t"}}
		if _, err := m.Apply(t.Context(), "a", []schedule.Schedule{hourly}, false); err != nil {
			t.Fatal(err)
		}
		stop := running(t.Context(), (&schedule.Scheduler{Bus: bus}).Run)
		time.Sleep(10*time.Minute + 300*time.Millisecond)
		soon := time.Now().Add(200 * time.Millisecond)
		once := schedule.Schedule{Name: "once", Kind: schedule.KindOnce, Expression: soon.Format(time.RFC3339Nano), Message: schedule.Message{Type: "t"}}
		if _, err := m.Apply(t.Context(), "b", []schedule.Schedule{once}, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		ticks, err := m.Ticks(t.Context(), schedule.TickQuery{Schedule: "once"})
		if err != nil || len(ticks) != 1 || ticks[0].Lag() > time.Second {
			t.Errorf("%+v %v", ticks, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// weekdays is a trigger in Go.
type weekdays struct{ schedule.Trigger }

func (w weekdays) Next(after time.Time) time.Time {
	for {
		after = w.Trigger.Next(after)
		if d := after.Weekday(); after.IsZero() || d != time.Saturday && d != time.Sunday {
			return after
		}
	}
}

func (weekdays) String() string { return "each hour of a working day" }

// TestCustomTrigger: only programs that know a trigger in Go fire it; others fire the rest.
func TestCustomTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Transport: &memory.Transport{}, Logger: slog.New(slog.DiscardHandler)}
		s := &schedule.Scheduler{Bus: bus, Owner: "shop"}
		for name, trigger := range map[string]schedule.Trigger{"custom": weekdays{schedule.Every(time.Hour)}, "hourly": schedule.Every(time.Hour)} {
			if err := s.Add(name, trigger, symphony.Raw{Type: "t", Body: []byte("{}")}, schedule.WithMissed(schedule.MissedAll, 0)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Run(ctx); err != nil { // which need not have applied anything
			t.Fatal(err)
		}
		stop := running(t.Context(), s.Run)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		m := &schedule.Manager{Bus: bus}
		counts := func() string {
			a, errA := m.Find(t.Context(), "custom")
			b, errB := m.Find(t.Context(), "hourly")
			return fmt.Sprint(a.RunCount, b.RunCount, errA, errB)
		}
		stop = running(t.Context(), (&schedule.Scheduler{Bus: bus}).Run) // the bubble begins on a Saturday
		time.Sleep(72*time.Hour - time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got := counts(); got != "0 71 <nil> <nil>" {
			t.Errorf("without the trigger: %s", got)
		}
		if _, err := s.Fire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := counts(); got != "24 71 <nil> <nil>" {
			t.Errorf("with the trigger: %s", got)
		}
		e, err := m.Find(t.Context(), "custom")
		if err != nil || e.Kind != schedule.KindCustom || e.Expression != "each hour of a working day" {
			t.Errorf("%+v %v", e, err)
		}
		if _, err := m.Edit(t.Context(), "custom", func(s *schedule.Schedule) error { s.Kind, s.Expression = schedule.KindInterval, "1h"; return nil }, false); err == nil {
			t.Error("the kind of a custom schedule was changed")
		}
		if _, err := m.Edit(t.Context(), "custom", func(s *schedule.Schedule) error { s.Jitter = time.Second; return nil }, false); err != nil {
			t.Errorf("a custom schedule cannot be edited: %v", err)
		}
	})
}

// touchy is a trigger that panics for what comes after a time.
type touchy struct{ until time.Time }

func (t touchy) Next(after time.Time) time.Time {
	if after.After(t.until) {
		panic("what now?")
	}
	return after.Truncate(time.Minute).Add(time.Minute)
}

// TestTriggerPanics: a trigger that panics is an error of its schedule; others fire.
func TestTriggerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Transport: &memory.Transport{}, Logger: slog.New(slog.DiscardHandler)}
		s := &schedule.Scheduler{Bus: bus, Owner: "shop"}
		for name, trigger := range map[string]schedule.Trigger{"touchy": touchy{time.Now().Add(2 * time.Minute)}, "steady": schedule.Every(time.Minute)} {
			if err := s.Add(name, trigger, symphony.Raw{Type: "t", Body: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		stop := running(t.Context(), s.Run)
		time.Sleep(10*time.Minute + time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		m := &schedule.Manager{Bus: bus}
		steady, err := m.Find(t.Context(), "steady")
		if err != nil || steady.RunCount != 10 {
			t.Errorf("the other one fired %d times of 10; %v", steady.RunCount, err)
		}
		broken, err := m.Find(t.Context(), "touchy")
		if err != nil || !strings.Contains(broken.LastError, "its trigger panicked when asked for the first tick after 2000-01-01T00:0") || !strings.Contains(broken.LastError, "what now?") {
			t.Errorf("the error of the schedule is %q; %v", broken.LastError, err)
		}
	})
}

// TestTwoOwners: a program whose name is taken does not start, and says whose it is.
func TestTwoOwners(t *testing.T) {
	store := &memory.Transport{}
	program := func(owner string) *schedule.Scheduler {
		s := &schedule.Scheduler{Bus: &symphony.Bus{Transport: store, Logger: slog.New(slog.DiscardHandler)}, Owner: owner}
		if err := s.Add("nightly", schedule.Every(time.Hour), report{}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := (&schedule.Manager{Bus: program("x").Bus}).Apply(t.Context(), "billing", []schedule.Schedule{{
		Name: "nightly", Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: "t"},
	}}, false); err != nil {
		t.Fatal(err)
	}
	err := program("shop").Run(t.Context())
	owned, ok := errors.AsType[*schedule.OwnedError](err)
	if !ok || owned.Owner != "billing" || !strings.Contains(err.Error(), `schedule nightly belongs to owner "billing"`) {
		t.Errorf("Run of another owner: %v", err)
	}
}

// A failing store fails when a schedule of the name is among those that it is to fire.
type failing struct {
	*memory.Transport
	mu    sync.Mutex
	sizes []int
}

var errPoison = errors.New("poison")

func (f *failing) Update(ctx context.Context, sel schedule.Selection, decide func(time.Time, []schedule.Entry) ([]schedule.Change, error)) (schedule.Update, error) {
	return f.Transport.Update(ctx, sel, func(now time.Time, found []schedule.Entry) ([]schedule.Change, error) {
		changes, err := decide(now, found)
		if sel.Due != nil {
			f.mu.Lock()
			f.sizes = append(f.sizes, len(found))
			f.mu.Unlock()
			if slices.ContainsFunc(found, func(e schedule.Entry) bool { return e.Name == "s50" }) {
				return nil, errPoison
			}
		}
		return changes, err
	})
}

// TestPoison: one schedule that the store refuses does not keep the others from firing.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Transport: &memory.Transport{}}
		var log bytes.Buffer
		bus := &symphony.Bus{Transport: store, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		var all []schedule.Schedule
		for i := range 100 {
			all = append(all, schedule.Schedule{Name: fmt.Sprintf("s%02d", i), Kind: schedule.KindInterval, Expression: "24h", Message: schedule.Message{Type: "t"}})
		}
		m := &schedule.Manager{Bus: bus}
		if _, err := m.Apply(t.Context(), "x", all, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24*time.Hour - time.Second)
		stop := running(t.Context(), (&schedule.Scheduler{Bus: bus}).Run)
		time.Sleep(30 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		entries, err := m.List(t.Context(), schedule.Query{Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if want := e.Name != "s50"; (e.RunCount == 1) != want {
				t.Errorf("%s fired %d times", e.Name, e.RunCount)
			}
		}
		if !strings.Contains(log.String(), "schedule=s50") || strings.Contains(log.String(), "schedule=s49") {
			t.Errorf("the log names others than s50, or not that:\n%s", &log)
		}
	})
}

// TestUnreachable: a store that cannot be reached is tried again, and no tick is lost.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gone{Transport: &memory.Transport{}}
		bus := &symphony.Bus{Transport: store, Logger: slog.New(slog.DiscardHandler)}
		s := &schedule.Scheduler{Bus: bus, Owner: "x"}
		if err := s.Add("minutely", schedule.Every(time.Minute), report{}, schedule.WithMissed(schedule.MissedAll, 0)); err != nil {
			t.Fatal(err)
		}
		store.gone(true)
		stop := running(t.Context(), s.Run)
		time.Sleep(5 * time.Minute)
		store.gone(false)
		time.Sleep(150 * time.Second)
		store.gone(true)
		time.Sleep(time.Hour)
		store.gone(false)
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		ticks, err := (&schedule.Manager{Bus: bus}).Ticks(t.Context(), schedule.TickQuery{Schedule: "minutely", Limit: 100})
		if err != nil || len(ticks) != 62 {
			t.Errorf("%d ticks %v, want 62", len(ticks), err)
		}
	})
}

type gone struct {
	*memory.Transport
	mu  sync.Mutex
	now bool
}

func (g *gone) gone(now bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = now
}

func (g *gone) Update(ctx context.Context, sel schedule.Selection, decide func(time.Time, []schedule.Entry) ([]schedule.Change, error)) (schedule.Update, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now {
		return schedule.Update{}, errors.New("no route to host")
	}
	return g.Transport.Update(ctx, sel, decide)
}
