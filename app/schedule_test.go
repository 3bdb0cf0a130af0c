package app_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/schedule"
)

// TestSchedules: a process fires the schedules that it declares, and handles their messages.
func TestSchedules(t *testing.T) {
	handled := make(chan string, 100)
	a := migrated(t, app.Options{
		Name: "shop",
		Register: func(bus *symphony.Bus) error {
			symphony.Handle(bus, func(ctx context.Context, m greeting) error {
				name, _, _ := schedule.TickFrom(ctx)
				handled <- name + " " + m.Name
				return nil
			})
			return nil
		},
		Schedules: func(s *schedule.Scheduler) error {
			return s.Add("hello", schedule.Every(time.Second), greeting{"Ada"})
		},
	})
	a.Start(t.Context())
	select {
	case got := <-handled:
		if got != "hello Ada" {
			t.Errorf("handled %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was handled within 10 s")
	}
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
}

// TestScheduleOfAnother: a process whose schedule belongs to another owner ends with an error that says so.
func TestScheduleOfAnother(t *testing.T) {
	a := migrated(t, app.Options{Name: "shop", Schedules: func(s *schedule.Scheduler) error {
		return s.Add("hello", schedule.Every(time.Hour), greeting{"Ada"})
	}})
	theirs := schedule.Schedule{Name: "hello", Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: "t"}}
	if _, err := (&schedule.Manager{Bus: a.Bus}).Apply(t.Context(), "billing", []schedule.Schedule{theirs}, false); err != nil {
		t.Fatal(err)
	}
	err := a.Run(t.Context())
	if _, ok := errors.AsType[*schedule.OwnedError](err); !ok {
		t.Errorf("Run: %v, want an *OwnedError", err)
	}
}

// TestScheduleFile: a process declares the schedules of the file that its configuration names, and says where a wrong one is named.
func TestScheduleFile(t *testing.T) {
	dir := t.TempDir()
	load := func(schedules string) *config.Config {
		t.Helper()
		file, list := filepath.Join(dir, "symphony.yaml"), filepath.Join(dir, "schedules.yaml")
		text := "transports: {main: 'sqlite://" + filepath.Join(dir, "queue.db") + "'}\nroutes: {greeting: {queue: hellos}}\nschedules: " + list + "\n"
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(list, []byte(schedules), 0o600)); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Sources{File: file, Lookup: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := migrated(t, app.Options{Config: load("owner: billing\nschedules:\n- {name: hello, every: 1h, message: {type: greeting}}\n")})
	a.Start(t.Context())
	manager := &schedule.Manager{Bus: a.Bus}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		e, err := manager.Find(t.Context(), "hello")
		if err == nil {
			if e.Owner != "billing" || e.Message.Queue != "hellos" {
				t.Errorf("owner %q, queue %q", e.Owner, e.Message.Queue)
			}
			break
		}
		if !errors.Is(err, schedule.ErrNotFound) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		"schedules: []\n": "it has no owner",
		"owner: billing\nschedules:\n- {name: hello, every: 1ns, message: {type: greeting}}\n": "at least 1s",
	} {
		_, err := app.New(t.Context(), app.Options{Config: load(text)})
		if _, ok := errors.AsType[*config.Error](err); !ok || !strings.Contains(err.Error(), "symphony.yaml:3:12: schedules: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want one with its place and %q", text, err, want)
		}
	}
}

func TestSchedulesFail(t *testing.T) {
	wrong := func(s *schedule.Scheduler) error { return s.Add("hello", schedule.Every(0), greeting{}) }
	if _, err := app.New(t.Context(), app.Options{DSN: "memory://", Schedules: wrong}); err == nil || !strings.Contains(err.Error(), "interval") {
		t.Errorf("a wrong schedule: %v", err)
	}
	if _, err := app.New(t.Context(), app.Options{DSN: "sync://", Schedules: wrong}); !errors.Is(err, symphony.ErrUnsupported) {
		t.Errorf("schedules without a store: %v", err)
	}
}

func TestReadSchedules(t *testing.T) {
	for _, text := range []string{
		"owner: x\nschedules:\n- name: a\n  every: 15m\n  until: 2030-01-01T00:00:00Z\n  message: {type: t, body: {big: 12345678901234567, text: \"ä\\n\"}, max_retries: 0}\n",
		`{"owner":"x","schedules":[{"name":"a","every":"15m","until":"2030-01-01T00:00:00Z","message":{"type":"t","body":{"big":12345678901234567,"text":"ä\n"},"max_retries":0}}]}`,
	} {
		f, err := app.ReadSchedules([]byte(text))
		if err != nil || f.Owner != "x" || len(f.Schedules) != 1 {
			t.Fatalf("%s: %+v %v", text, f, err)
		}
		s := f.Schedules[0]
		if body := strings.ReplaceAll(string(s.Message.Body), " ", ""); s.Name != "a" || s.Expression != "15m" || s.Until.Year() != 2030 || body != `{"big":12345678901234567,"text":"ä\n"}` ||
			s.Message.MaxRetries == nil || *s.Message.MaxRetries != 0 {
			t.Errorf("%s: %+v", text, s)
		}
	}
	for text, want := range map[string]string{
		"schedules: [{name: a, every: 1h, message: {type: t}, extra: 1}]": `unknown field "extra"`,
		"schedule: []":                      `unknown field "schedule"`,
		"owner: x":                          `no list "schedules"`,
		"owner: x\nowner: y\nschedules: []": "owner",
		"schedules: [}":                     "[1:",
		"owner: x\nschedules: [{name: a, owner: y, every: 1h, message: {type: t}}]": `its owner is "y", and that of the file "x"`,
		"":                          "schedules",
		"schedules: {a: 1}":         "schedules must be a list, not an object",
		"schedules: 7":              "schedules must be a list, not a number",
		"schedules: [7]":            "a schedule with no name: it must be an object, not a number",
		"owner: [x]\nschedules: []": "owner must be text, not a list",
		"- name: a":                 "it must be an object, not a list",
		"schedules: [{name: a, every: 15, message: {type: t}}]":                "schedule a: every must be text, not a number",
		"schedules: [{name: a, every: 1h, jitter: 15, message: {type: t}}]":    "schedule a: jitter must be text, not a number",
		"schedules: [{name: a, every: 1h, message: [t]}]":                      "schedule a: message must be an object, not a list",
		"schedules: [{name: a, every: 1h, message: {type: t, priority: x}}]":   "schedule a: message.priority must be a whole number, not text",
		"schedules: [{name: a, every: 1h, max_runs: 1.5, message: {type: t}}]": "schedule a: max_runs must be a whole number, not 1.5",
	} {
		if _, err := app.ReadSchedules([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error that says %s", text, err, want)
		}
	}
}
