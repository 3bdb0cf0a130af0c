package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

// load reads a file with this text, as symphony.yaml, and an environment.
func load(t *testing.T, text string, env map[string]string, flags ...Flag) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(DefaultFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	return Load(Sources{File: DefaultFile, Lookup: lookup, Flags: flags})
}

const full = `
transport: main
transports:
  main:
    dsn: postgres://u:${PW}@h/db
    history: {mode: meta, retention: 7d}
    retry: {max: 5, delay: 2s}
    queues:
      mail: {weight: 3, concurrency: 4, retry: {max: 8}}
      default: 1
  archive: sqlite://archive.db
routes:
  email.*: {queue: mail, priority: 8, tags: [a, b], headers: {tenant: acme, zone: "${ZONE:-eu}"}}
  cache.warm: {transport: sync}
  audit: {transport: archive, delay: 5s, expires: 1h, group: g, max_retries: 2}
handlers:
  email.send: {exec: "sh -c 'echo $${HOME}'", timeout: 30s, at_most: 2, retry: {max: -1, cap: 1h}}
worker:
  concurrency: 20
  limits: {messages: 10, failures: 2, memory: 128M, time: 1h, idle: 1m30s}
retry: {jitter: 0, multiplier: 1.5}
history: {retention: 2d}
body_limit: 1MiB
log: {format: json}
`

func TestLoad(t *testing.T) {
	c, err := load(t, full, map[string]string{"PW": "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	base := Retry{Max: 3, Delay: time.Second, Multiplier: 1.5}
	main, mail, send := base, base, base
	main.Max, main.Delay = 5, 2*time.Second
	mail.Max, mail.Delay = 8, 2*time.Second
	send.Max, send.Cap = -1, time.Hour
	at := func(line, column int) Origin { return Origin{File: DefaultFile, Line: line, Column: column} }
	from := at(5, 10)
	from.Expanded = true
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"transport", c.Transport, "main"},
		{"transports", c.Transports, []Transport{
			{
				Name: "main", DSN: "postgres://u:hunter2@h/db", From: from, History: "meta", Retention: 7 * 24 * time.Hour, Retry: main,
				Queues: []Queue{{Name: "mail", Weight: 3, Concurrency: 4, Retry: &mail}, {Name: "default", Weight: 1}}, declared: true,
			},
			{Name: "archive", DSN: "sqlite://archive.db", From: at(11, 12), History: "full", Retention: 48 * time.Hour, Retry: base, declared: true},
		}},
		{"worker", c.Worker, Worker{
			Concurrency: 20, Lease: 30 * time.Second, Grace: 20 * time.Second, MaxCrashes: 5, Unknown: 24 * time.Hour,
			Limits: symphony.Limits{Messages: 10, Failures: 2, Memory: 128 << 20, Time: time.Hour, Idle: 90 * time.Second},
		}},
		{"handlers", c.Handlers, []Handler{{
			Type: "email.send", Exec: "sh -c 'echo ${HOME}'", From: at(17, 22), Timeout: 30 * time.Second, AtMost: 2, Retry: &send,
		}}},
		{"limit", c.BodyLimit, 1 << 20},
		{"log", c.Log, Log{Format: "json"}},
	} {
		if diff := cmp.Diff(tt.want, tt.got, cmp.AllowUnexported(Transport{})); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
	}
	if len(c.Routes) != 3 || c.Routes[0].Type != "email.*" || c.Routes[1].Transport != Sync || c.Routes[2].Transport != "archive" {
		t.Fatalf("routes %+v", c.Routes)
	}
	var mailed, audit symphony.Envelope
	for _, s := range c.Routes[0].Stamps {
		if err := s(&mailed); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.Routes[2].Stamps {
		if err := s(&audit); err != nil {
			t.Fatal(err)
		}
	}
	two := 2
	wantMail := symphony.Envelope{Priority: 8, Tags: []string{"a", "b"}, Headers: map[string]string{"tenant": "acme", "zone": "eu"}}
	wantAudit := symphony.Envelope{Delay: 5 * time.Second, Expires: time.Hour, Group: "g", MaxRetries: &two}
	if diff := cmp.Diff(wantMail, mailed, cmp.AllowUnexported(symphony.Envelope{})); diff != "" || c.Routes[0].Queue != "mail" {
		t.Errorf("stamps of email.*:\n%s", diff)
	}
	if diff := cmp.Diff(wantAudit, audit, cmp.AllowUnexported(symphony.Envelope{})); diff != "" {
		t.Errorf("stamps of audit:\n%s", diff)
	}
}

// TestSettings: everything in force is shown with its origin, and no secret.
func TestSettings(t *testing.T) {
	c, err := load(t, full, map[string]string{"PW": "hunter2", "SYMPHONY_WORKER_LEASE": "40s", "SYMPHONY_DSN": "postgres://v:topsecret@h/db?sslpassword=topsecret"},
		Flag{"--concurrency", "worker.concurrency", "7"})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, s := range c.Settings() {
		got[s.Key] = s.Value + " < " + s.Origin.String()
		if strings.Contains(s.Value, "hunter2") || strings.Contains(s.Value, "topsecret") {
			t.Errorf("%s shows a password: %s", s.Key, s.Value)
		}
	}
	for key, want := range map[string]string{
		"transport":                             "main < symphony.yaml:2:12",
		"transports.main.dsn":                   "postgres://v:***@h/db?sslpassword=*** < SYMPHONY_DSN",
		"transports.main.history.retention":     "7d < symphony.yaml:6:38",
		"transports.archive.dsn":                "sqlite://archive.db < symphony.yaml:11:12",
		"transports.main.queues.mail.weight":    "3 < symphony.yaml:9:22",
		"transports.main.queues.default.weight": "1 < symphony.yaml:10:16",
		`routes."email.*".tags`:                 "a, b < symphony.yaml:13:45",
		`routes."email.*".headers.zone`:         "${ZONE:-eu} < symphony.yaml:13:83",
		`routes."cache.warm".transport`:         "sync < symphony.yaml:14:27",
		`handlers."email.send".retry.max`:       "-1 < symphony.yaml:17:86",
		"worker.concurrency":                    "7 < --concurrency",
		"worker.lease":                          "40s < SYMPHONY_WORKER_LEASE",
		"worker.grace":                          "20s < default",
		"worker.limits.memory":                  "128M < symphony.yaml:20:47",
		"retry.max":                             "3 < default",
		"retry.jitter":                          "0 < symphony.yaml:21:17",
		"body_limit":                            "1MiB < symphony.yaml:23:13",
		"log.level":                             " < default",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if len(c.Notes()) != 1 || !strings.Contains(c.Notes()[0], "SYMPHONY_DSN goes before the DSN of transport main in symphony.yaml:5:10") {
		t.Errorf("notes %q", c.Notes())
	}
}

// TestPrecedence: flag, SYMPHONY_DSN, DATABASE_URL, file, fallback.
func TestPrecedence(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(DefaultFile, []byte("transports: {main: sqlite://file.db}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SYMPHONY_DSN": "sqlite://a.db", "DATABASE_URL": "sqlite://b.db"}
	src := Sources{File: DefaultFile, DSN: "sqlite://flag.db", Fallback: "sqlite://fallback.db", Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	check := func(want, origin, name string) {
		t.Helper()
		c, err := Load(src)
		if err != nil {
			t.Fatal(err)
		}
		if tr := c.Transports[0]; len(c.Transports) != 1 || tr.DSN != want || tr.From.String() != origin || tr.Name != name || c.Transport != name {
			t.Errorf("%+v, want %s from %s", c.Transports, want, origin)
		}
	}
	check("sqlite://flag.db", "--dsn", "main")
	src.DSN = ""
	check("sqlite://a.db", "SYMPHONY_DSN", "main")
	env["SYMPHONY_DSN"] = ""
	check("sqlite://b.db", "DATABASE_URL", "main")
	delete(env, "DATABASE_URL")
	check("sqlite://file.db", "symphony.yaml:1:20", "main")
	src.File = ""
	check("sqlite://fallback.db", "default", "default")
	src.Fallback = ""
	if c, err := Load(src); err != nil || len(c.Transports) != 0 {
		t.Errorf("with nothing: %+v, %v", c, err)
	}
}

// TestNoGrace: to a worker a grace of 0 is the default of 20 s, which is not what somebody who writes 0s wants.
func TestNoGrace(t *testing.T) {
	c, err := load(t, "transport: a\ntransports: {a: memory://}\nworker: {grace: 0s}\n", nil)
	if err != nil || c.Worker.Grace <= 0 || c.Worker.Grace > time.Millisecond {
		t.Errorf("grace %v, %v", c.Worker.Grace, err)
	}
}

// TestRetryFlag: a flag is the policy of the worker; it goes before that of the transport, not before that of a queue.
func TestRetryFlag(t *testing.T) {
	text := "retry: {max: 1}\ntransports: {main: {dsn: memory://, retry: {max: 2, delay: 5s}, queues: {mail: {retry: {max: 3}}}}}\n"
	c, err := load(t, text, map[string]string{"SYMPHONY_RETRY_DELAY": "9s"}, Flag{"--retries", "retry.max", "7"})
	if err != nil {
		t.Fatal(err)
	}
	tr := c.Transports[0]
	if tr.Retry.Max != 7 || tr.Retry.Delay != 5*time.Second || tr.Queues[0].Retry.Max != 3 {
		t.Errorf("%+v, queue %+v", tr.Retry, tr.Queues[0].Retry)
	}
}

func TestFindFile(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for _, step := range []struct {
		flag, want string
		before     func()
	}{
		{"", "", func() {}},
		{"", DefaultFile, func() { _ = os.WriteFile(DefaultFile, nil, 0o600) }},
		{"", "other.yaml", func() { env["SYMPHONY_CONFIG"] = "other.yaml" }},
		{filepath.Join("a", "b.yaml"), filepath.Join("a", "b.yaml"), func() {}},
	} {
		step.before()
		if got := FindFile(step.flag, lookup); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	_, err := Load(Sources{File: "not-there.yaml", Lookup: lookup})
	if err == nil || err.Error() != "not-there.yaml: cannot be read: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func problems(t *testing.T, err error) (all []string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want a *config.Error", err)
	}
	for _, p := range e.Problems {
		s := p.String()
		if p.Hint != "" {
			s += " | " + p.Hint
		}
		all = append(all, s)
	}
	return all
}
