package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
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
	dir := t.TempDir()
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
	if from.Date.IsZero() || from.Machine.Cores == 0 || from.Machine.Sync <= 0 {
		t.Errorf("the first line does not say where and when: %s", first)
	}
	for _, name := range []string{"go", "sqlite", "modernc.org/sqlite", "github.com/riverqueue/river"} {
		if from.Versions[name] == "" {
			t.Errorf("the first line has no version of %s: %s", name, first)
		}
	}

	got := make(map[string]record)
	for line := range strings.Lines(rest) {
		var r record
		decode(t, line, &r)
		name := strings.Join([]string{r.Figure, r.System + r.Versus, r.Sync, r.History}, " ")
		if _, ok := got[name]; ok {
			t.Errorf("two records of %s", name)
		}
		got[name] = r
		if r.Store != "sqlite" || len(r.Runs) != 1 || r.Value != r.Runs[0] || r.Value <= 0 || math.IsInf(r.Value, 0) {
			t.Errorf("record %s", line)
		}
	}
	var want []string
	for _, sync := range []string{"normal", "full"} {
		for _, f := range []string{"drain", "single", "batch", "latency_p50", "latency_p95", "latency_p99"} {
			want = append(want, f+" river "+sync+" on", f+" symphony "+sync+" on")
		}
		want = append(want, "drain symphony "+sync+" off")
		for _, f := range []string{"drain_ratio", "single_ratio", "batch_ratio", "latency_p95_ratio"} {
			want = append(want, f+" river "+sync+" on")
		}
	}
	for _, name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("no record of %s", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".run-*")); err != nil || len(left) > 0 {
		t.Errorf("stores were left behind: %v %v", left, err)
	}
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
	add(key{"drain", "msg/s", "river", "sqlite", "full", "on"}, 2000, 1000, 4000)
	add(key{"drain", "msg/s", ours, "sqlite", "full", "on"}, 20000, 30000, 20000)
	add(key{"drain", "msg/s", ours, "sqlite", "full", "off"}, 50000, 50000, 50000)
	add(key{"latency_p95", "ms", "river", "sqlite", "full", "on"}, 40, 60)
	add(key{"latency_p95", "ms", ours, "sqlite", "full", "on"}, 4, 3)
	add(key{"latency_p99", "ms", "river", "sqlite", "full", "on"}, 123456.7)

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
	if len(rs) != 6+2 {
		t.Errorf("%d records, want 8: %+v", len(rs), rs)
	}
}

func TestOptionsRefuseWhatTheyDoNotKnow(t *testing.T) {
	for _, args := range [][]string{{"-figure", "drian"}, {"-system", "rivers"}, {"-store", "mysql"}, {"-sync", "off"}, {"extra"}} {
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
		{[]string{"-quick"}, ""},
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
	forever bool // never record as done
	pending *atomic.Int64
}

func (f *fake) insert(_ context.Context, j job) error {
	if !f.lose {
		f.jobs <- j
		f.pending.Add(1)
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
	n := sizes{Drain: 100, Batch: 10, Goroutines: 1, For: time.Millisecond, Rate: 1000, Latency: 20 * time.Millisecond}
	for _, test := range []struct {
		name    string
		broken  *fake
		figures []string
	}{
		{"acknowledged and lost", &fake{lose: true}, []string{"drain", "single", "batch", "latency"}},
		{"done and never handled", &fake{skip: true}, []string{"drain", "latency"}},
		{"handled and never done", &fake{forever: true}, []string{"drain", "latency"}},
	} {
		for _, f := range figures() {
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
