package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newCrew(t *testing.T) (*crew, context.Context) {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(t.TempDir(), logName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { output.Close() })
	ctx, fatal := context.WithCancelCause(t.Context())
	t.Cleanup(func() { fatal(nil) })
	c := &crew{executable: executable, output: output, fatal: fatal, killed: make(map[string]time.Time)}
	t.Cleanup(c.stop) // also when the test fails halfway, and before the cleanups above
	return c, ctx
}

// processArgs are those of a cron job with nothing to do, as any process that works until it is told to stop.
func processArgs(t *testing.T) []string {
	t.Helper()
	o := newFile(t)
	openStore(t, o)
	o.smtp = "127.0.0.1:1"
	return o.args("cron")
}

func TestCrew(t *testing.T) {
	c, ctx := newCrew(t)
	args := processArgs(t)
	if name, err := c.kill(); name != "" || err != nil {
		t.Errorf("killed %q of nobody, %v", name, err)
	}
	if err := c.keep("worker-1", args...); err != nil {
		t.Fatal(err)
	}
	if err := c.start("cron", append(args, "cron")...); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"worker-1.1", "worker-1.2"} {
		name := ""
		for name == "" && ctx.Err() == nil { // until it was started again
			var err error
			if name, err = c.kill(); err != nil {
				t.Fatal(err)
			}
		}
		if name != want {
			t.Errorf("killed %q, must be %s", name, want)
		}
	}
	c.stop()
	if deaths := c.deaths(); len(deaths) != 2 {
		t.Errorf("deaths: %v", deaths)
	}
	if ctx.Err() != nil {
		t.Error(context.Cause(ctx))
	}
}

// TestCrewDoesNotTakeTheCredit: a worker that ends by itself was not killed, though the signal is sent
// while it ends or later.
func TestCrewDoesNotTakeTheCredit(t *testing.T) {
	for name, known := range map[string]bool{"ended": true, "ending": false} {
		t.Run(name, func(t *testing.T) {
			c, _ := newCrew(t)
			cmd := exec.Command(c.executable, "worker", "-unknown")
			output, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			p := &process{name: "worker-1.1", cmd: cmd, stdin: output, done: make(chan struct{})}
			if _, err := io.Copy(io.Discard, output); err != nil { // to its end: the process has its exit status
				t.Fatal(err)
			}
			end := func() {
				p.err = cmd.Wait()
				close(p.done)
			}
			if known {
				end()
			} else {
				c.running.Go(func() {
					for len(c.deaths()) == 0 { // until the signal is sent
						time.Sleep(time.Millisecond)
					}
					end()
				})
			}
			c.workers = []*process{p}
			if name, err := c.kill(); name != "" || err != nil || len(c.deaths()) != 0 {
				t.Errorf("killed %q, %v; deaths: %v", name, err, c.deaths())
			}
		})
	}
}

func TestCrewNoticesProcessesThatEnd(t *testing.T) {
	for name, begin := range map[string]func(c *crew) error{
		"worker": func(c *crew) error { return c.keep("worker-1", "worker", "-unknown") },
		"other":  func(c *crew) error { return c.start("cron", "cron", "-unknown") },
	} {
		t.Run(name, func(t *testing.T) {
			c, ctx := newCrew(t)
			if err := begin(c); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Second):
				t.Error("nobody noticed")
			}
			c.stop()
			if err := context.Cause(ctx); err == nil || !strings.Contains(err.Error(), "ended by itself") {
				t.Errorf("cause: %v", err)
			}
		})
	}
}
