//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// run does what c says and checks what happened. It writes what it does, and what it found broken, to
// out; its error says that something is.
func (c config) run(ctx context.Context, out io.Writer) (r result, err error) {
	log := log.New(out, "", 0) // which several goroutines may use
	dir, err := os.MkdirTemp(c.dir, "crash-")
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil || c.keep {
			log.Println("kept:", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	at, err := newPlace(ctx, c.store, dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, at.close(err != nil || c.keep)) }()
	st, err := openStore(ctx, c.store, at.dsn)
	if err != nil {
		return r, err
	}
	defer func() {
		if closer, ok := st.bare().(io.Closer); ok {
			err = errors.Join(err, closer.Close())
		}
	}()
	if err := st.setup(ctx); err != nil {
		return r, err
	}
	base := spec{Store: c.store, DSN: at.crewDSN, Events: filepath.Join(dir, "history"), Sabotage: c.sabotage, Lease: c.lease}
	if err := os.Mkdir(base.Events, 0o700); err != nil {
		return r, err
	}
	var met map[string]int
	var broken error
	if c.faults > 0 {
		met, broken = c.falter(ctx, scene{st, at, base}, log)
	} else {
		broken = c.work(ctx, scene{st, at, base}, log)
	}
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	r, err = c.judge(ctx, scene{st, at, base})
	r.faults = met
	r.tell(log)
	return r, errors.Join(broken, err)
}

// A scene is what a run happens on.
type scene struct {
	store store
	place place
	base  spec // of its processes
}

// work lets producers and workers do all their work under the faults of the nemesis.
func (c config) work(ctx context.Context, on scene, log *log.Logger) error {
	base := on.base
	log.Printf("%s, seed %d: %d jobs over %v, %d kills, %d stops, %d workers with a lease of %v",
		c.store, c.seed, c.jobs, c.span(), c.kills, c.stops, c.workers, c.lease)
	if on.place.server != nil {
		log.Printf("%d restarts of the server, %d terminated sessions, %d cuts, %d hangs", c.restarts, c.terminates, c.cuts, c.hangs)
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	journal, err := history.Open(filepath.Join(base.Events, "nemesis.jsonl"))
	if err != nil {
		return err
	}
	ctx, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	cr := &crew{executable: executable, logs: filepath.Join(filepath.Dir(base.Events), "logs"), fatal: fatal}
	if err := os.Mkdir(cr.logs, 0o700); err != nil {
		return err
	}
	defer cr.abort() // nothing is left to abort after a good run
	if err := c.hire(ctx, cr, base); err != nil {
		return errors.Join(err, journal.Close())
	}
	nemesis{crew: cr, server: on.place.server, journal: journal, log: log, fatal: fatal}.run(ctx, time.Now(), plan(c))
	err = cr.sent(ctx)
	if err == nil {
		err = c.drain(ctx, on.store)
	}
	if ctx.Err() == nil {
		err = errors.Join(err, cr.stop(c.settle))
	} else {
		cr.abort()
	}
	return errors.Join(err, cr.crimes(), journal.Close())
}

// hire starts all workers, waits until they are ready, and starts the producers.
func (c config) hire(ctx context.Context, cr *crew, base spec) error {
	var workers []*process
	for n := range c.workers {
		base.Name = fmt.Sprint("worker-", n+1)
		p, err := cr.add(base)
		if err != nil {
			return err
		}
		workers = append(workers, p)
	}
	for _, p := range workers {
		select {
		case <-p.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	start := time.Now()
	for n := range producers {
		base.Name = fmt.Sprint("producer-", n+1)
		base.Sends = &sending{mix: c.mix(n), Start: start, Span: c.span() * 95 / 100}
		if _, err := cr.add(base); err != nil {
			return err
		}
	}
	return nil
}

// drain waits until nothing waits or runs any more.
func (c config) drain(ctx context.Context, st store) error {
	ctx, cancel := context.WithTimeout(ctx, c.drainWithin)
	defer cancel()
	for {
		counts, err := countsOf(ctx, st)
		if err != nil {
			return err
		}
		if counts[history.Live] == 0 {
			return nil
		}
		if sleep.For(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the queue has not drained within %v: %d messages are left", c.drainWithin, counts[history.Live])
		}
	}
}

// outcomeOf is what the history calls a state of the store.
func outcomeOf(s monitor.Status) history.Outcome {
	switch s {
	case monitor.Pending, monitor.Scheduled, monitor.Processing:
		return history.Live
	}
	return history.Outcome(s)
}

// countsOf returns what the store's own statistics say.
func countsOf(ctx context.Context, st store) (map[history.Outcome]int, error) {
	counter, ok := symphony.As[monitor.Counter](st.bare())
	if !ok {
		return nil, errors.New("the store cannot count messages")
	}
	counts, err := counter.Counts(ctx)
	if err != nil {
		return nil, err
	}
	by := map[history.Outcome]int{
		history.Live: 0, history.Completed: 0, history.Failed: 0, history.Cancelled: 0, history.Expired: 0, history.Accepted: 0,
	}
	for _, n := range counts.Counts {
		by[outcomeOf(n.Status)] += int(n.N)
		by[history.Accepted] += int(n.N) // nobody retries or discards dead letters here
	}
	return by, nil
}
