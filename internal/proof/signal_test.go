//go:build unix

package proof

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// visibleWithin is how soon after the signal others must see what the program has not started: a second, and two more for a machine that does
// other things. A look that begins later must find nothing out of sight.
const visibleWithin = 3 * time.Second

// TestStopBySignal: the program is told to stop at any moment. What it has not started others see within a second, no attempt is
// used up, what runs is finished, and nothing is lost or done twice.
func TestStopBySignal(t *testing.T) {
	program := build(t)
	eachStore(t, func(t *testing.T, s store) {
		r := &stops{t: t, store: s, program: program, dir: t.TempDir(), rng: rand.New(rand.NewPCG(5, 0))}
		r.script()
		for range *signals {
			r.send(25)
			r.stop()
		}
		r.finish()
		t.Logf("%d messages, %d stops, %d of them before the program was ready, the longest end took %v; %d unstarted claims were given back",
			len(r.all), *signals, r.early, r.longest.Round(time.Millisecond), r.givenBack)
	})
}

// build returns the path of the program.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "symphony")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/symphony")
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}

type stops struct {
	t       *testing.T
	store   store
	program string
	dir     string
	rng     *rand.Rand
	all     []symphony.ID

	early, givenBack int
	longest          time.Duration
}

// script writes the handler: it notes its start and its end. One of sixteen takes longer than unstarted ones may stay out of sight.
func (r *stops) script() {
	r.t.Helper()
	for _, name := range []string{"started", "done"} {
		if err := os.Mkdir(filepath.Join(r.dir, name), 0o700); err != nil {
			r.t.Fatal(err)
		}
	}
	text := fmt.Sprintf("#!/bin/sh\necho $SYMPHONY_ATTEMPT >> '%[1]s'/started/$SYMPHONY_ID\ncase $SYMPHONY_ID in *0) sleep 4;; *) sleep 0.02;; esac\necho done >> '%[1]s'/done/$SYMPHONY_ID\n", r.dir)
	if err := os.WriteFile(filepath.Join(r.dir, "handler"), []byte(text), 0o700); err != nil {
		r.t.Fatal(err)
	}
}

func (r *stops) send(n int) {
	r.t.Helper()
	bus := &symphony.Bus{Transport: r.store}
	var ms []symphony.Message
	for range n {
		ms = append(ms, symphony.Raw{Type: "job", Body: []byte("{}")})
	}
	rs, err := bus.DispatchAll(r.t.Context(), ms)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, receipt := range rs {
		r.all = append(r.all, receipt.ID)
	}
}

func (r *stops) consume(more ...string) (*exec.Cmd, *bytes.Buffer) {
	args := append([]string{"consume", "--dsn", r.store.dsn, "--exec", "job=" + filepath.Join(r.dir, "handler"), "--concurrency", "6"}, more...)
	cmd := exec.CommandContext(r.t.Context(), r.program, args...)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// stop starts the program and tells it to stop some time later.
func (r *stops) stop() {
	r.t.Helper()
	cmd, out := r.consume()
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(time.Duration(r.rng.Int64N(int64(600 * time.Millisecond)))) // the moment is what the test is about
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	told := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r.visible(told)
	err := <-ended
	r.longest = max(r.longest, time.Since(told))
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		r.early++ // before it knew of signals, and so before it had claimed anything
	} else if err != nil {
		r.t.Fatalf("the program ended with %v\n%s", err, out)
	}
	for _, id := range r.all {
		rec := r.find(id)
		if rec.Status != monitor.Pending && rec.Status != monitor.Completed {
			r.t.Fatalf("message %s is %s once the program has ended\n%s", id, rec.Status, out)
		}
		if rec.RetryCount+rec.CrashCount > 0 || len(rec.Attempts) > 0 {
			r.t.Fatalf("message %s: %d retries, %d crashes; want none\n%s", id, rec.RetryCount, rec.CrashCount, out)
		}
		if rec.Status == monitor.Pending && rec.Fence > 0 {
			r.givenBack++
		}
	}
	r.once()
}

// visible waits until nothing is leased but what has been started.
func (r *stops) visible(told time.Time) {
	r.t.Helper()
	for {
		hidden, begun := 0, time.Since(told)
		for _, id := range r.all {
			if rec := r.find(id); rec.Status == monitor.Processing && r.lines("started", id) == 0 {
				hidden++
			}
		}
		if hidden == 0 {
			return
		}
		if begun > visibleWithin {
			r.t.Fatalf("%d messages that were not started are out of sight %v after the signal", hidden, begun)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *stops) find(id symphony.ID) monitor.Record {
	r.t.Helper()
	finder, _ := symphony.As[monitor.Finder](r.store.Transport)
	rec, err := finder.Find(r.t.Context(), id)
	if err != nil {
		r.t.Fatalf("message %s: %v", id, err)
	}
	return rec
}

func (r *stops) lines(dir string, id symphony.ID) int {
	data, err := os.ReadFile(filepath.Join(r.dir, dir, id.String()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

// once requires that what is completed was done once, and what is not was not begun.
func (r *stops) once() {
	r.t.Helper()
	for _, id := range r.all {
		rec := r.find(id)
		n := 0
		if rec.Status == monitor.Completed {
			n = 1
		}
		if started, done := r.lines("started", id), r.lines("done", id); started != n || done != n {
			r.t.Fatalf("message %s is %s: started %d times, done %d times", id, rec.Status, started, done)
		}
	}
}

// finish lets the program do all that is left.
func (r *stops) finish() {
	r.t.Helper()
	cmd, out := r.consume("--idle", "1s")
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	for _, id := range r.all {
		if rec := r.find(id); rec.Status != monitor.Completed || r.lines("done", id) != 1 {
			r.t.Errorf("message %s is %s, and was done %d times", id, rec.Status, r.lines("done", id))
		}
	}
}
