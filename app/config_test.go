package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

// configured returns an App of a file with this text, in which DIR stands for a folder of its own, with migrated stores.
func configured(t *testing.T, text string, register func(*symphony.Bus) error) *app.App {
	t.Helper()
	file := filepath.Join(t.TempDir(), "symphony.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", t.TempDir())), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{File: file, Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), app.Options{Config: c, Register: register, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range a.Transports {
		if m, ok := symphony.As[monitor.Migrator](transport); ok {
			if _, err := m.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return a
}

// TestWorkerOfConfig: every key of a worker arrives there.
func TestWorkerOfConfig(t *testing.T) {
	a := configured(t, `
transports:
  main:
    dsn: sqlite://DIR/q.db
    retry: {max: 4}
    queues:
      mail: {weight: 3, concurrency: 2, retry: {max: 8}}
      default: 1
worker:
  name: w
  concurrency: 7
  lease: 40s
  grace: 50s
  max_crashes: 9
  unknown_types: 2h
  limits: {messages: 1, failures: 2, memory: 3G, time: 4h, idle: 5m}
retry: {delay: 3s, multiplier: 1, cap: 9s, jitter: 0}
body_limit: 1M
`, nil)
	defer func() { _ = a.Stop() }()
	w := a.Worker
	policy := config.Retry{Max: 4, Delay: 3 * time.Second, Multiplier: 1, Cap: 9 * time.Second}
	mail := policy
	mail.Max = 8
	want := symphony.Worker{
		Name: "w", Concurrency: 7, Lease: 40 * time.Second, Grace: 50 * time.Second, MaxCrashes: 9, Unknown: 2 * time.Hour, Retry: policy,
		Queues: []symphony.WorkerQueue{{Name: "mail", Weight: 3, Concurrency: 2, Retry: mail}, {Name: "default", Weight: 1}},
		Limits: symphony.Limits{Messages: 1, Failures: 2, Memory: 3 << 30, Time: 4 * time.Hour, Idle: 5 * time.Minute},
	}
	got := *w
	got.Bus, got.Transport = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if a.Bus.MaxBody != 1<<20 || w.Transport != a.Transports["main"] || a.Bus.Transport != w.Transport {
		t.Errorf("limit %d, transport %v of %v", a.Bus.MaxBody, w.Transport, a.Transports)
	}
	if q := a.Queue("main", "mail"); q.Concurrency != 2 || a.Queue("main", "other").Concurrency != 0 {
		t.Errorf("queue %+v", q)
	}
}

// TestHistoryOfConfig: off means that an ended message leaves nothing, and that it is so for one transport only.
func TestHistoryOfConfig(t *testing.T) {
	handled := make(chan string, 2)
	a := configured(t, `
transport: off
transports:
  off: {dsn: sqlite://DIR/off.db, history: {mode: off}}
  on: sqlite://DIR/on.db
routes: {kept: {transport: on}}
`, func(bus *symphony.Bus) error {
		for _, typ := range []string{"gone", "kept"} {
			symphony.HandleRaw(bus, typ, func(context.Context, *symphony.Envelope) error { handled <- typ; return nil })
		}
		return nil
	})
	stores := map[string]symphony.Transport{"gone": a.Transports["off"], "kept": a.Transports["on"]}
	ids := make(map[string]symphony.ID)
	for typ := range stores {
		r, err := a.Bus.Dispatch(t.Context(), symphony.Raw{Type: typ, Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		ids[typ] = r.ID
	}
	if err := a.Serve([]string{"off", "on"}); err != nil {
		t.Fatal(err)
	}
	a.Start(t.Context())
	for range stores {
		<-handled
	}
	ended := func(typ string) (monitor.Record, error) {
		f, _ := symphony.As[monitor.Finder](stores[typ])
		for {
			r, err := f.Find(t.Context(), ids[typ])
			if err != nil || r.Status == monitor.Completed {
				return r, err
			}
		}
	}
	if r, err := ended("gone"); !errors.Is(err, monitor.ErrNotFound) {
		t.Errorf("without history: %v %v", r.Status, err)
	}
	if _, err := ended("kept"); err != nil {
		t.Errorf("with history: %v", err)
	}
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
}

// TestRoutesOfConfig go before those of the program, and the limit of bodies before its.
func TestRoutesOfConfig(t *testing.T) {
	a := configured(t, `
transport: a
transports: {a: memory://, b: memory://, none: sync://}
routes:
  x: {transport: b, queue: y}
  in.place: {transport: sync}
  also.in.place: {transport: none}
`, func(bus *symphony.Bus) error {
		bus.Routes = []symphony.Route{{Type: "x", Queue: "own"}, {Type: "z", Queue: "own"}}
		bus.MaxBody = 99
		return nil
	})
	defer func() { _ = a.Stop() }()
	var got []string
	for _, r := range a.Bus.Routes {
		got = append(got, fmt.Sprint(r.Type, " ", r.Queue, " ", r.Transport == a.Transports["b"] && r.Transport != nil, " ", r.InPlace))
	}
	want := []string{"x y true false", "in.place  false true", "also.in.place  false true", "x own false false", "z own false false"}
	if diff := cmp.Diff(want, got); diff != "" || a.Bus.MaxBody != 99 {
		t.Errorf("limit %d\n%s", a.Bus.MaxBody, diff)
	}
}

// TestSharedLimit: several workers end when they have started as many attempts together as one may.
func TestSharedLimit(t *testing.T) {
	var mu sync.Mutex
	handled := 0
	a := configured(t, "transport: a\ntransports: {a: memory://, b: memory://}\nroutes: {m: {transport: b}}\nworker: {concurrency: 1, limits: {messages: 3}}\n",
		func(bus *symphony.Bus) error {
			symphony.HandleRaw(bus, "m", func(context.Context, *symphony.Envelope) error {
				mu.Lock()
				defer mu.Unlock()
				handled++
				return nil
			})
			return nil
		})
	for range 10 {
		if _, err := a.Bus.Dispatch(t.Context(), symphony.Raw{Type: "m", Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Serve([]string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if handled != 3 {
		t.Errorf("%d were handled, want 3", handled)
	}
	if err := a.Serve([]string{"c"}); err == nil {
		t.Error("a transport that is not there is served")
	}
}

// TestOneThatCannotWorkEndsAll: a store without a schema must not be noticed only by its own worker.
func TestOneThatCannotWorkEndsAll(t *testing.T) {
	a := configured(t, "transport: a\ntransports: {a: memory://, b: 'sqlite://DIR/b.db'}\n", nil)
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{Lookup: func(string) (string, bool) { return "", false }, Fallback: "sqlite://" + filepath.Join(t.TempDir(), "none.db")})
	if err != nil {
		t.Fatal(err)
	}
	c.Transports = append(c.Transports, config.Transport{Name: "memory", DSN: "memory://"})
	a, err = app.New(t.Context(), app.Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Serve([]string{"memory", "default"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.Run(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("got %v", err)
	}
}

func schemas(t *testing.T, dsn string) ([]string, error) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "select nspname::text from pg_catalog.pg_namespace order by 1")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// TestBenchLeavesNothing: neither files nor schemas, also when it is stopped on the way.
func TestBenchLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	database := pgtest.Database(t)
	for name, tt := range map[string]struct {
		store app.Store
		left  func() ([]string, error)
	}{
		"sqlite":   {app.Store{DSN: "sqlite://" + filepath.Join(dir, "q.db")}, func() ([]string, error) { return filepath.Glob(filepath.Join(dir, "*")) }},
		"postgres": {app.Store{DSN: database}, func() ([]string, error) { return schemas(t, database) }},
	} {
		before, err := tt.left()
		if err != nil {
			t.Fatal(err)
		}
		for _, stopAfter := range []int{0, 1, 4, 5} {
			ctx, stop := context.WithCancel(t.Context())
			tt.store.Logger = slog.New(slog.DiscardHandler)
			var figures []app.Figure
			err := app.Bench{Store: tt.store, Messages: 150, Concurrency: 3, Body: 10}.Run(ctx, func(f app.Figure) {
				if figures = append(figures, f); len(figures) == stopAfter {
					stop()
				}
			})
			if stop(); (stopAfter == 1 || stopAfter == 4) != (err != nil) {
				t.Errorf("%s, stopped after %d: %v", name, stopAfter, err)
			}
			for _, f := range figures {
				if f.N < 100 || f.Rate <= 0 && f.Median <= 0 {
					t.Errorf("%s: %+v", name, f)
				}
			}
			if left, err := tt.left(); err != nil || !cmp.Equal(before, left) {
				t.Errorf("%s, stopped after %d: left %v, before %v, %v", name, stopAfter, left, before, err)
			}
		}
	}
}
