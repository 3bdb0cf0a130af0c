//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// A spec is what a process of a run is told.
type spec struct {
	Name     string        `json:"name"` // of the process in the history
	Store    string        `json:"store"`
	DSN      string        `json:"dsn"`
	Events   string        `json:"events"` // the directory of the history
	Sabotage string        `json:"sabotage,omitempty"`
	Lease    time.Duration `json:"lease"`

	Sends *sending `json:"sends,omitempty"` // nil: a worker

	log io.Writer
}

// A sending is the part of a producer.
type sending struct {
	mix
	From  int           `json:"from"` // the first message that it sends
	Start time.Time     `json:"start"`
	Span  time.Duration `json:"span"`
}

// ready is what a worker prints once it is about to claim.
const ready = "ready"

// child is the main function of the processes of a run.
func (p program) child(arg string, stdout io.Writer) error {
	signal.Ignore(os.Interrupt) // a terminal sends it to all; the run stops its processes itself
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { orphaned(ctx); cancel() })
	defer watch.Wait()
	defer cancel()

	var s spec
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	s.log = os.Stderr
	rec, err := history.Open(filepath.Join(s.Events, s.Name+".jsonl"))
	if err != nil {
		return err
	}
	st, err := openStore(ctx, s.Store, s.DSN)
	if err != nil {
		return errors.Join(err, rec.Close())
	}
	t := st.bare()
	if s.Sabotage != "" {
		t = p.sabotages[s.Sabotage](t)
	}
	j := journal{rec}
	if s.Sends != nil {
		err = newProducer(st, t, j, *s.Sends).run(ctx, stdout)
	} else {
		err = work(ctx, st, record(t, j, s.Lease), s, stdout)
	}
	if closer, ok := st.bare().(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	return errors.Join(err, rec.Close())
}

// orphaned returns when the process that started this one is gone, or when ctx ends.
func orphaned(ctx context.Context) {
	parent := os.Getppid()
	for tick := time.Tick(time.Second); os.Getppid() == parent; {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// A journal is the recorder of a process that must not go on without it.
type journal struct{ rec *history.Recorder }

func (j journal) write(e history.Event) (seq int64) {
	seq, err := j.rec.Write(e)
	if err != nil {
		slog.Error("the history cannot be written", "error", err)
		os.Exit(1) // not an orderly end: that would change the store unrecorded
	}
	return seq
}

// answer writes the answer to call.
func (j journal) answer(call int64, e history.Event) {
	e.Op = call
	j.write(e)
}
