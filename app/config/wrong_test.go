package config

import (
	"slices"
	"strings"
	"testing"
)

// TestWrong: everything that is wrong is said with its place, and what was meant where that can be known.
func TestWrong(t *testing.T) {
	const main = "transports: {main: sqlite://q.db}\n"
	for _, tt := range []struct {
		text string
		want string // every problem, one a line
	}{
		// Keys.
		{main + "worker: {concurency: 5}\n", "symphony.yaml:2:10: worker.concurency: unknown key | did you mean concurrency?"},
		{main + "wroker: {concurrency: 5}\n", "symphony.yaml:2:1: wroker: unknown key | did you mean worker?"},
		{main + "xyzzy: 1\n", "symphony.yaml:2:1: xyzzy: unknown key | known are transport, transports, history, routes, handlers, schedules, worker, body_limit, log, retry"},
		{main + "worker:\n  limits:\n    message: 5\n", "symphony.yaml:4:5: worker.limits.message: unknown key | did you mean messages?"},
		{main + "retry: {maximum: 1, dealy: 2s}\n", "symphony.yaml:2:9: retry.maximum: unknown key | known are max, delay, multiplier, cap, jitter\nsymphony.yaml:2:21: retry.dealy: unknown key | did you mean delay?"},
		{"transports:\n  main:\n    dsn: sqlite://q.db\n    queue: {}\n", "symphony.yaml:4:5: transports.main.queue: unknown key | did you mean queues?"},
		{main + "worker: {lease: 1s}\nworker: {lease: 2s}\n", `symphony.yaml:3:1: is no valid YAML: mapping key "worker" already defined at [2:1]`},

		// Types and values.
		{main + "worker: {concurrency: many}\n", `symphony.yaml:2:23: worker.concurrency: "many" must be a number, 1 or more`},
		{main + "worker: {concurrency: 0}\n", `symphony.yaml:2:23: worker.concurrency: "0" must be a number, 1 or more`},
		{main + "worker: {concurrency: [1, 2]}\n", `symphony.yaml:2:23: worker.concurrency: is a list, must be one number`},
		{main + "worker: {concurrency: {a: 1}}\n", `symphony.yaml:2:23: worker.concurrency: must be a number`},
		{main + "worker: 5\n", "symphony.yaml:2:9: worker: must be a mapping | its keys are name, concurrency, lease, grace, strict, max_crashes, unknown_types, limits"},
		{main + "worker: {lease: 30}\n", `symphony.yaml:2:17: worker.lease: "30" must be a duration with its unit, such as 500ms, 90s, 1h30m or 7d`},
		{main + "worker: {lease: -5s}\n", `symphony.yaml:2:17: worker.lease: "-5s" must be a duration with its unit, such as 500ms, 90s, 1h30m or 7d`},
		{main + "worker: {lease: 0s}\n", `symphony.yaml:2:17: worker.lease: "0s" must be longer than nothing`},
		{main + "worker: {lease: 2 weeks}\n", `symphony.yaml:2:17: worker.lease: "2 weeks" must be a duration with its unit, such as 500ms, 90s, 1h30m or 7d`},
		{main + "worker: {strict: yes}\n", `symphony.yaml:2:18: worker.strict: "yes" must be true or false`},
		{main + "worker: {name: ~}\n", "symphony.yaml:2:16: worker.name: must be a text"},
		{main + "retry: {max: -2}\n", `symphony.yaml:2:14: retry.max: "-2" must be a number, 0 or more, or -1 for no limit`},
		{main + "retry: {multiplier: 0.5}\n", `symphony.yaml:2:21: retry.multiplier: "0.5" must be a number, 1 or more`},
		{main + "retry: {jitter: 2}\n", `symphony.yaml:2:17: retry.jitter: "2" must be a number from 0 to 1`},
		{main + "body_limit: 20M\n", "symphony.yaml:2:13: body_limit: must be 16M at most"},
		{main + "body_limit: big\n", `symphony.yaml:2:13: body_limit: "big" must be a number of bytes such as 1048576, 256K, 128M or 2G`},
		{main + "history: {mode: some}\n", `symphony.yaml:2:17: history.mode: "some" must be full, meta or off`},
		{main + "log: {level: loud}\n", `symphony.yaml:2:14: log.level: "loud" must be debug, info, warn or error`},

		// Transports.
		{"transports: {main: queue.db}\n", "symphony.yaml:1:20: transports.main.dsn: must be a DSN, such as sqlite://queue.db or postgres://user@host/database"},
		{"transports: {main: host=h password=hunter2}\n", "symphony.yaml:1:20: transports.main.dsn: must be a DSN, such as sqlite://queue.db or postgres://user@host/database"},
		{"transports: {Main: sqlite://q.db}\n", "symphony.yaml:1:14: transports.Main: must be [a-z0-9][a-z0-9_.-]{0,62}"},
		{"transports: {sync: sqlite://q.db}\n", "symphony.yaml:1:14: transports.sync: means that messages are handled in place: a transport needs another name"},
		{"transports:\n  main:\n    history: {mode: off}\n", "symphony.yaml:3:5: transports.main: has no dsn"},
		{"transports: [sqlite://q.db]\n", "symphony.yaml:1:13: transports: must be a mapping, with a name for each entry"},
		{"transports: {a: sqlite://a.db, b: sqlite://b.db}\n", "symphony.yaml:1:13: transports: which one is the default? | add transport: a"},
		{"transport: c\ntransports: {main: sqlite://a.db}\n", `symphony.yaml:1:12: transport: there is no transport "c" | known are main`},
		{"transports: {main: {dsn: memory://, history: {mode: off}}}\n", "symphony.yaml:1:53: transports.main.history.mode: has no effect on memory://"},
		{"transports: {main: postgres://h/db}\nhistory: {retention: 5m}\n", "symphony.yaml:2:22: history.retention: must be an hour or more with PostgreSQL, which drops history by the hour"},
		{"transports: {main: {dsn: sqlite://q.db, queues: {Mail: 1}}}\n", "symphony.yaml:1:50: transports.main.queues.Mail: must be [a-z0-9][a-z0-9_.-]{0,62}"},
		{"transports: {main: {dsn: sqlite://q.db, queues: {mail: 2}}}\nworker: {strict: true}\n", "symphony.yaml:1:56: transports.main.queues.mail.weight: has no effect with worker.strict, where the order of the queues counts"},

		// Routes and handlers.
		{main + "routes: {email.*: {transport: mian}}\n", `symphony.yaml:2:31: routes."email.*".transport: there is no transport "mian" | did you mean main?`},
		{main + "routes: {email.*: main}\n", `symphony.yaml:2:19: routes."email.*": must be a mapping | its keys are transport, queue, priority, delay, expires, group, max_retries, tags, headers`},
		{main + "routes: {email.*: }\n", `symphony.yaml:2:18: routes."email.*": says nothing | give it a transport, a queue or another key`},
		{main + "routes: {'*.send': {queue: a}}\n", `symphony.yaml:2:10: routes."*.send": must be a type such as email.send, or a prefix such as email.*`},
		{main + "routes: {a: {priority: 11}}\n", `symphony.yaml:2:24: routes.a.priority: "11" must be between 1 and 10`},
		{main + "routes: {a: {queue: Mail}}\n", `symphony.yaml:2:21: routes.a.queue: "Mail" must be [a-z0-9][a-z0-9_.-]{0,62}`},
		{main + "routes: {a: {max_retries: -1}}\n", `symphony.yaml:2:27: routes.a.max_retries: "-1" must be zero or more`},
		{main + "routes: {a: {headers: {Tenant: x}}}\n", `symphony.yaml:2:24: routes.a.headers.Tenant: must be`},
		{main + "routes: {a: {tags: ['']}}\n", "symphony.yaml:2:21: routes.a.tags: \"\" must be"},
		{main + "routes: {a: {transport: sync, queue: b}}\n", "symphony.yaml:2:13: routes.a: handles messages in place, where its other keys have no effect"},
		{main + "handlers: {a: {timeout: 5s}}\n", "symphony.yaml:2:15: handlers.a: has no exec"},
		{main + "handlers: {two words: {exec: true}}\n", `symphony.yaml:2:12: handlers.two words: must be [A-Za-z0-9]`},

		// Variables.
		{"transports: {main: 'postgres://u:${PASSWORD}@h/db'}\n", "symphony.yaml:1:20: transports.main.dsn: ${PASSWORD} is not set in the environment"},
		{"transports: {main: 'postgres://u:secret${@h/db'}\n", "symphony.yaml:1:20: transports.main.dsn: has ${ without a name and }: write ${NAME} or ${NAME:-text}, and $${ for the characters themselves"},
		{main + "worker: {concurrency: '${N:-few}'}\n", `symphony.yaml:2:23: worker.concurrency: "${N:-few}" must be a number, 1 or more`},

		// YAML.
		{"transports: {main: [\n", "symphony.yaml:1:"},
		{"just text\n", "symphony.yaml:1:1: must be a mapping of keys to values | known are transport,"},
		{main + "---\n" + main, "symphony.yaml:3:"},
		{main + "retry: *nowhere\n", "symphony.yaml:2:8: *nowhere refers to nothing before it"},
		{main + "worker: {name: \xff}\n", "symphony.yaml: is not in UTF-8"},
		{main + "worker: {lease: 1s, lease: 2s}\n", `symphony.yaml:2:21: is no valid YAML: mapping key "lease" already defined`},
		{main + "worker: {lease: 1s, 'lease': 2s}\n", `symphony.yaml:2:`},
		{main + "worker: {<<: {lease: 1s}}\n", "symphony.yaml:2:10: worker: has a key that is no plain word"},
	} {
		_, err := load(t, tt.text, nil)
		if err == nil {
			t.Errorf("accepted:\n%s", tt.text)
			continue
		}
		got, want := problems(t, err), strings.Split(tt.want, "\n")
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%s\nsays %s\nwant %s", tt.text, strings.Join(got, "\n     "), tt.want)
		}
		if text := strings.Join(got, "\n"); strings.Contains(text, "hunter2") || strings.Contains(text, "secret") {
			t.Errorf("a password is shown:\n%s", text)
		}
	}
}

// TestWrongElsewhere: the environment and the flags are checked as the file is.
func TestWrongElsewhere(t *testing.T) {
	const main = "transports: {main: sqlite://q.db}\n"
	_, err := load(t, main, map[string]string{"SYMPHONY_WORKER_LEASE": "soon", "SYMPHONY_TRANSPORT": "mian"},
		Flag{"--limit", "worker.limits.messages", "none"})
	want := []string{
		`SYMPHONY_WORKER_LEASE: worker.lease: "soon" must be a duration with its unit, such as 500ms, 90s, 1h30m or 7d`,
		`--limit: worker.limits.messages: "none" must be a number, 1 or more`,
		`SYMPHONY_TRANSPORT: transport: there is no transport "mian" | did you mean main?`,
	}
	if got := problems(t, err); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestNothingSet: a file may be empty, or have nothing but comments.
func TestNothingSet(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "worker:\n", "~\n"} {
		if c, err := load(t, text, nil); err != nil || c.Worker.Concurrency != 10 {
			t.Errorf("%q: %v", text, err)
		}
	}
	// As editors on Windows write it.
	if c, err := load(t, "\ufeffworker:\r\n  concurrency: 3\r\n  name: >\r\n    a\r\nlog: {level: debug}\r\n", nil); err != nil || c.Worker.Concurrency != 3 || c.Worker.Name != "a" || c.Log.Level != "debug" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAnchors(t *testing.T) {
	c, err := load(t, "transports:\n  a: {dsn: sqlite://a.db, retry: &often {max: 9}}\n  b: {dsn: sqlite://b.db, retry: *often}\ntransport: a\n", nil)
	if err != nil || c.Transports[0].Retry.Max != 9 || c.Transports[1].Retry.Max != 9 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestMaskDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"sqlite://queue.db?synchronous=normal":                             "sqlite://queue.db?synchronous=normal",
		"sqlite:///var/lib/q.db":                                           "sqlite:///var/lib/q.db",
		"postgres://u:hunter2@h:5432/db?schema=x":                          "postgres://u:***@h:5432/db?schema=x",
		"postgres://u@h/db?password=hunter2&sslmode=require":               "postgres://u@h/db?password=***&sslmode=require",
		"postgres://u@h/db?pass%77ord=hunter2":                             "postgres://u@h/db?pass%77ord=***",
		"postgres://h/db?listen_dsn=postgres%3A%2F%2Fu%3Ahunter2%40h%2Fdb": "postgres://h/db?listen_dsn=postgres%3A%2F%2Fu%3A***%40h%2Fdb",
		"postgres://h/db?listen_dsn=u:hunter2@h/db":                        "postgres://h/db?listen_dsn=***",
		"postgres://u:hun/ter2@h/db":                                       "postgres://…",
		"postgres://u:%zzhunter2@h/db":                                     "postgres://…",
		"memory://":                                                        "memory://",
		"host=h password=hunter2":                                          "…",
	} {
		if got := MaskDSN(dsn); got != want {
			t.Errorf("%s is shown as %s, want %s", dsn, got, want)
		}
		if got := MaskDSN(dsn); strings.Contains(got, "hunter2") {
			t.Errorf("%s is shown as %s", dsn, got)
		}
	}
}

// FuzzLoad: no file makes it panic, and none that is refused is without a reason.
func FuzzLoad(f *testing.F) {
	f.Add(full)
	f.Add("a: &a [*a]\n")
	f.Add("transports: &t {main: *t}\n")
	f.Add("? a\n: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := reader{path: "f", lookup: func(string) (string, bool) { return "", false }, places: map[string]Origin{}, order: map[string][]string{}}
		r.parse([]byte(text), tree())
		for _, p := range r.problems {
			if p.Text == "" || p.Origin.File == "" {
				t.Errorf("%q: a problem without text or place: %+v", text, p)
			}
		}
	})
}
