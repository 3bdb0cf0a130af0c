package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestQuick runs the whole program on every system with small counts. Each figure checks by itself that
// what was acknowledged is stored, and that what was stored is handled and recorded as done.
func TestQuick(t *testing.T) {
	dir := reachable(t)
	out := filepath.Join(dir, "results.jsonl")
	var log bytes.Buffer
	if err := run(t.Context(), []string{"-quick", "-dir", dir, "-out", out}, &log); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(text), "\n")

	var from origin
	decode(t, first, &from)
	if from.Date.IsZero() || from.Machine.Cores == 0 || from.Machine.Sync <= 0 || from.Stores["sqlite"].Rounds["drain"] != 1 {
		t.Errorf("the first line does not say where, when and how: %s", first)
	}
	for _, name := range []string{"go", "sqlite", "modernc.org/sqlite", "postgres", "github.com/jackc/pgx/v5", "github.com/riverqueue/river"} {
		if from.Versions[name] == "" {
			t.Errorf("the first line has no version of %s: %s", name, first)
		}
	}
	for name, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"} {
		if got := from.Stores["postgres"].Server[name]; got != want {
			t.Errorf("the server ran with %s = %q, want %q", name, got, want)
		}
	}

	got := make(map[string]record)
	for line := range strings.Lines(rest) {
		var r record
		decode(t, line, &r)
		name := strings.Join([]string{r.Store, r.Figure, r.System + r.Versus, r.Sync, r.History}, " ")
		if _, ok := got[name]; ok {
			t.Errorf("two records of %s", name)
		}
		got[name] = r
		idle := strings.HasPrefix(r.Figure, "idle_cpu") // of so short a time the system may say that nothing was used
		if len(r.Runs) != 1 || r.Value != r.Runs[0] || r.Value < 0 || r.Value == 0 && !idle {
			t.Errorf("record %s", line)
		}
	}
	want := append(sqliteRecords(), postgresRecords()...)
	for _, name := range want {
		// Which way of sending batches is River's best may differ from run to run.
		_, ok := got[name]
		if _, other := got[strings.Replace(name, " river ", " river_fast ", 1)]; !ok && !(strings.Contains(name, "batch_ratio") && other) {
			t.Errorf("no record of %s", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	for name, goroutines := range map[string]int{"single_8": 8, "single_64": 64, "batch": 2, "drain": 0} {
		if r := got["postgres "+name+" symphony on on"]; r.Goroutines != goroutines {
			t.Errorf("%s was measured with %d goroutines, want %d", name, r.Goroutines, goroutines)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("more than the results was left behind: %v %v", left, err)
	}
}

// reachable returns a directory that the user who runs the server for root can enter, unlike those of t.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sqliteRecords are the names of what a run says of SQLite.
func sqliteRecords() (names []string) {
	for _, sync := range []string{"normal", "full"} {
		for _, f := range []string{"drain", "single", "batch", "latency_p50", "latency_p95", "latency_p99"} {
			names = append(names, "sqlite "+f+" river "+sync+" on", "sqlite "+f+" symphony "+sync+" on")
		}
		names = append(names, "sqlite drain symphony "+sync+" off")
		for _, f := range []string{"drain_ratio", "single_ratio", "batch_ratio", "latency_p95_ratio"} {
			names = append(names, "sqlite "+f+" river "+sync+" on")
		}
	}
	return names
}

// postgresRecords are the names of what a run says of PostgreSQL.
func postgresRecords() (names []string) {
	add := func(system, history string, figures ...string) {
		for _, f := range figures {
			names = append(names, "postgres "+f+" "+system+" on "+history)
		}
	}
	sustained := []string{"sustained", "sustained_first_third", "sustained_last_third"}
	both := append([]string{
		"drain", "single_8", "single_64", "batch", "latency_p50", "latency_p95", "latency_p99", "idle_cpu", "idle_cpu_client", "idle_cpu_server",
	}, sustained...)
	add("river", "on", both...)
	add("river_fast", "on", "batch")
	add("river_vacuum", "on", sustained...)
	add(ours, "on", both...)
	add(ours, "on", "claim_p50", "claim_p99", "claim_call_p50", "claim_call_p99", "claim_done", "rss_idle", "sustained_last_vs_first",
		"schedules_lag_p50", "schedules_lag_p99", "schedules_lag_max", "schedules_fired")
	add(ours, "off", "drain", "drain_5m_behind", "drain_5m_behind_alone", "drain_5m_behind_vs_drain",
		"drain_1m_delayed", "drain_1m_delayed_alone", "drain_1m_delayed_vs_drain")
	add("bare", "off", "drain", "drain_vs_bare")
	add("river", "on", "drain_ratio", "single_8_ratio", "single_64_ratio", "batch_ratio", "latency_p95_ratio", "sustained_ratio")
	add("river_vacuum", "on", "sustained_ratio")
	return names
}

func decode(t *testing.T, line string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
}

func TestJobHasItsSize(t *testing.T) {
	for _, n := range []int{-20, -1, 0, 9, 10, 49_999, 123_456_789} {
		body, err := json.Marshal(newJob(n))
		if err != nil || len(body) != jobBytes {
			t.Errorf("job %d has %d bytes, want %d (%v)", n, len(body), jobBytes, err)
		}
	}
}

func TestRecords(t *testing.T) {
	r := &results{runs: make(map[key][]float64)}
	add := func(k key, runs ...float64) {
		for _, v := range runs {
			r.add(k, v)
		}
	}
	add(key{figure: "drain", unit: "msg/s", system: "river", store: "sqlite", sync: "full", history: "on"}, 2000, 1000, 4000)
	add(key{figure: "drain", unit: "msg/s", system: ours, store: "sqlite", sync: "full", history: "on"}, 20000, 30000, 20000)
	add(key{figure: "drain", unit: "msg/s", system: ours, store: "sqlite", sync: "full", history: "off"}, 50000, 50000, 50000)
	add(key{figure: "latency_p95", unit: "ms", system: "river", store: "sqlite", sync: "full", history: "on"}, 40, 60)
	add(key{figure: "latency_p95", unit: "ms", system: ours, store: "sqlite", sync: "full", history: "on"}, 4, 3)
	add(key{figure: "latency_p99", unit: "ms", system: "river", store: "sqlite", sync: "full", history: "on"}, 123456.7)
	add(key{figure: "drain", unit: "msg/s", system: "bare", store: "sqlite", sync: "full", history: "off"}, 100_000, 200_000)
	add(key{figure: "drain_5m_behind", unit: "msg/s", system: ours, store: "sqlite", sync: "full", history: "off"}, 45_000)
	// It is compared with the drain beside which it was measured.
	add(key{figure: "drain_5m_behind_alone", unit: "msg/s", system: ours, store: "sqlite", sync: "full", history: "off"}, 60_000)
	for system, rate := range map[string]float64{"river": 10, "river_fast": 20, ours: 60} {
		add(key{figure: "batch", unit: "msg/s", system: system, store: "sqlite", sync: "full", history: "on", goroutines: 2}, rate)
	}

	rs := r.records()
	value := func(figure, system string) record {
		i := slices.IndexFunc(rs, func(r record) bool { return r.Figure == figure && r.System+r.Versus == system })
		if i < 0 {
			t.Fatalf("no record of %s of %s in %+v", figure, system, rs)
		}
		return rs[i]
	}
	// The ratio is that of the runs of one round, then the median: not the ratio of the medians.
	if got := value("drain_ratio", "river"); got.Value != 10 || !slices.Equal(got.Runs, []float64{10, 30, 5}) || got.History != "on" {
		t.Errorf("drain_ratio: %+v", got)
	}
	if got := value("latency_p95_ratio", "river"); got.Value != 15 { // less is better: theirs by ours
		t.Errorf("latency_p95_ratio: %+v", got)
	}
	if got := value("latency_p99", "river"); got.Value != 123500 {
		t.Errorf("four significant digits: %+v", got)
	}
	// The bare limit is compared with what keeps no history either, and only as far as it was measured.
	if got := value("drain_vs_bare", "bare"); !slices.Equal(got.Runs, []float64{0.5, 0.25}) || got.History != "off" {
		t.Errorf("drain_vs_bare: %+v", got)
	}
	if got := value("drain_5m_behind_vs_drain", ours); !slices.Equal(got.Runs, []float64{0.75}) || got.Versus != "" {
		t.Errorf("drain_5m_behind_vs_drain: %+v", got)
	}
	if got := value("batch_ratio", "river_fast"); got.Value != 3 || got.Goroutines != 2 {
		t.Errorf("batch_ratio: %+v", got)
	}
	if len(rs) != 12+2+3 { // and no ratio by the slower way of River to send batches
		t.Errorf("%d records, want 17: %+v", len(rs), rs)
	}
}

func TestOptionsRefuseWhatTheyDoNotKnow(t *testing.T) {
	for _, args := range [][]string{{"-figure", "drian"}, {"-system", "rivers"}, {"-store", "mysql"}, {"-sync", "off"}, {"-history", "some"}, {"extra"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestOnlyAFullRunReplacesTheResults(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "results/latest.jsonl"},
		{[]string{"-full"}, "results/latest.jsonl"},
		{[]string{"-quick"}, ""},
		{[]string{"-full", "-rounds", "1"}, ""},
		{[]string{"-figure", "drain"}, ""},
		{[]string{"-quick", "-out", "x"}, "x"},
	} {
		if o, err := parse(test.args, &bytes.Buffer{}); err != nil || o.out != test.want {
			t.Errorf("%v: results go to %q, want %q (%v)", test.args, o.out, test.want, err)
		}
	}
}

// A fake is a system in memory that can go wrong in the ways that the figures must notice.
type fake struct {
	jobs    chan job
	lose    bool // acknowledge and forget
	skip    bool // record as done without handling
	forever bool // never record as done, but for what warms up
	pending *atomic.Int64
}

func (f *fake) insert(_ context.Context, j job) error {
	if !f.lose {
		f.jobs <- j
		if j.N >= 0 {
			f.pending.Add(1)
		}
	}
	return nil
}

func (f *fake) insertMany(ctx context.Context, js []job) error {
	for _, j := range js {
		if err := f.insert(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) work(ctx context.Context, handle func(job)) error {
	for {
		select {
		case j := <-f.jobs:
			if !f.skip {
				handle(j)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *fake) left(context.Context) (int, error) {
	if f.forever {
		return int(f.pending.Load()), nil
	}
	return len(f.jobs), nil
}

func (f *fake) close() error { return nil }

func TestFiguresNoticeLoss(t *testing.T) {
	n := sizes{
		Drain: 100, Batch: 10, Goroutines: 1, For: 20 * time.Millisecond, Rate: 1000, Latency: 20 * time.Millisecond, Backlog: 1000, Sustained: 30 * time.Millisecond,
	}
	for _, test := range []struct {
		name    string
		broken  *fake
		figures []string
	}{
		{"acknowledged and lost", &fake{lose: true}, []string{"drain", "single", "single_8", "batch", "latency", "sustained"}},
		{"done and never handled", &fake{skip: true}, []string{"drain", "latency", "sustained"}},
		{"handled and never done", &fake{forever: true}, []string{"drain", "latency", "sustained"}},
	} {
		for _, f := range slices.Concat(sqliteFigures(), postgresFigures()) {
			if !slices.Contains(test.figures, f.name) {
				continue
			}
			t.Run(test.name+"/"+f.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				broken := *test.broken
				broken.jobs, broken.pending = make(chan job, 1<<20), new(atomic.Int64)
				if values, err := f.run(ctx, &broken, n); err == nil {
					t.Errorf("measured %v", values)
				}
			})
		}
	}
}
