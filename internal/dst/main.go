// Command dst shows that the times of schedule/cron are right where clocks are changed. For every time
// zone of this machine it walks, minute by minute, through two days on either side of every change of
// ten years, and for some zones through the ten years whole. What 300 expressions say there by the rule
// (docs/schedules.md) is compared with what Schedule.Next says.
//
//	go run ./internal/dst [-from 2020] [-zone regexp]
//
// It shares no code with schedule/cron, and reads expressions by itself. It prints what differs, and ends
// with {"zones":N,"expressions":N,"years":N,"missed":0,"doubled":0}: runs that should be and are not, and
// runs that are and should not be. It exits with 1 when there are any.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

const years = 10

func main() {
	from := flag.Int("from", 2020, "the first of the ten years")
	pattern := flag.String("zone", "", "only zones whose name matches")
	flag.Parse()
	if err := run(os.Stdout, *from, *pattern); err != nil {
		fmt.Fprintln(os.Stderr, "dst:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, from int, pattern string) error {
	only, err := regexp.Compile(pattern)
	if err != nil {
		return fmt.Errorf("read -zone: %w", err)
	}
	names, dir, err := zoneNames()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d zones in %s\n", len(names), dir)
	started := time.Now()
	r := &report{out: out}
	exprs := expressions()
	var jobs []job
	for _, name := range names {
		if only.MatchString(name) {
			jobs = append(jobs, job{zone: name, exprs: exprs, from: from, years: years})
		}
	}
	r.Zones, r.Expressions, r.Years = len(jobs), len(exprs), years
	for _, name := range wholeZones {
		if only.MatchString(name) {
			jobs = append(jobs, job{zone: name, exprs: wholeExpressions(), from: from, years: years, whole: true})
		}
	}
	if len(jobs) == 0 {
		return errors.New("no zone has such a name")
	}
	if err := work(jobs, r); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d changes of clocks, %d minutes walked, %d runs compared, %v\n",
		r.changes, r.minutes, r.runs, time.Since(started).Round(time.Second))
	if err := json.NewEncoder(out).Encode(r.Result); err != nil {
		return err
	}
	if r.Missed+r.Doubled > 0 {
		return fmt.Errorf("%d runs differ", r.Missed+r.Doubled)
	}
	return nil
}

// work does all jobs, as many at once as there are processors.
func work(jobs []job, r *report) error {
	queue := make(chan job)
	var workers sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range queue {
				if err := j.do(r, parseCron); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range jobs {
		queue <- jobs[len(jobs)-1-i] // the long ones first
	}
	close(queue)
	workers.Wait()
	return failed
}

// A nextFunc is a Schedule's Next.
type nextFunc func(after time.Time) time.Time

// A parseFunc makes one of an expression.
type parseFunc func(expr string, zone *time.Location) (nextFunc, error)

func parseCron(expr string, zone *time.Location) (nextFunc, error) {
	s, err := cron.Parse(expr, cron.In(zone))
	if err != nil {
		return nil, err
	}
	return s.Next, nil
}

// A Result is the last line.
type Result struct {
	Zones       int   `json:"zones"`
	Expressions int   `json:"expressions"`
	Years       int   `json:"years"`
	Missed      int64 `json:"missed"`
	Doubled     int64 `json:"doubled"`
}

// A report adds up what all jobs found. It is safe for concurrent use.
type report struct {
	mu  sync.Mutex
	out io.Writer
	Result
	changes, minutes, runs, shown int64
}

func (r *report) walked(c *clock, changes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes += int64(changes)
	r.minutes += int64(len(c.minutes))
}

// add counts a comparison and shows the first differences.
func (r *report) add(zone *time.Location, expr string, c comparison) {
	const most = 50
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs += int64(c.runs)
	r.Missed += int64(len(c.missed))
	r.Doubled += int64(len(c.doubled))
	show := func(what string, times []time.Time) {
		for _, t := range times {
			if r.shown++; r.shown <= most {
				fmt.Fprintf(r.out, "%s: %s in %v at %s\n", what, expr, zone, t.In(zone))
			}
		}
	}
	show("missed", c.missed)
	show("doubled", c.doubled)
}
