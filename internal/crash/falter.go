//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony/internal/faultstore"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// A stranding is a worker and its store.
type stranding struct {
	store *faultstore.Store
	held  *holdings
}

// strand takes the store from one worker after the other, just when it has claimed something, until that was claimed again, by
// whomever, because its lease had run out. It tries again: what was claimed may be done in a handler's transaction. Outages at
// fixed times once found workers of a busy machine that held nothing.
func strand(ctx context.Context, of []stranding, lease time.Duration) {
	crashed := func() (n int) {
		for _, w := range of {
			n += w.held.afterCrash()
		}
		return n
	}
	begun := crashed()
	for try := 0; try < 3*len(of) && (try < len(of) || crashed() == begun); try++ {
		before := crashed()
		of[try%len(of)].store.Strand(4 * lease)
		for end := time.Now().Add(6 * lease); ctx.Err() == nil && crashed() == before && time.Now().Before(end); {
			_ = sleep.For(ctx, lease/10)
		}
	}
}

// falter lets producers and workers, all in this process, do all their work on a store of which a share of the calls fail or are
// late. It returns how often which call met which fault.
func (c config) falter(ctx context.Context, on scene, log *log.Logger) (met map[string]int, err error) {
	log.Printf("%s, seed %d: %d jobs over %v, %g of the calls fail or are late, %d workers with a lease of %v",
		c.store, c.seed, c.jobs, c.span(), c.faults, c.workers, c.lease)
	base := on.base
	logs, err := os.Create(filepath.Join(filepath.Dir(base.Events), "log"))
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	base.log = logs
	var journals []journal
	open := func(name string) (journal, error) {
		rec, err := history.Open(filepath.Join(base.Events, name+".jsonl"))
		if err == nil {
			journals = append(journals, journal{rec})
		}
		return journal{rec}, err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var workers, senders sync.WaitGroup
	errs := make(chan error, c.workers+producers)
	met = make(map[string]int)
	var stores []*faultstore.Store
	var strandings []stranding
	faulty := func(n int) *faultstore.Store {
		// Some of the late ones are so late, and outages so long, that leases end.
		f := faultstore.Even(c.seed<<8|uint64(n), c.faults, 5*c.lease/2)
		if n >= c.workers {
			f.Outage = 0 // a producer gives up what it could not send
		}
		s := faultstore.New(on.store.bare(), f)
		stores = append(stores, s)
		return s
	}
	for n := range c.workers {
		spec := base
		spec.Name = fmt.Sprint("worker-", n+1)
		j, err := open(spec.Name)
		if err != nil {
			return nil, err
		}
		t := record(faulty(n).Worker(), j, c.lease)
		strandings = append(strandings, stranding{stores[n], t.held})
		workers.Go(func() { errs <- work(working, on.store, t, spec, io.Discard) })
	}
	start := time.Now()
	for n := range producers {
		j, err := open(fmt.Sprint("producer-", n+1))
		if err != nil {
			stop()
			workers.Wait()
			return nil, err
		}
		p := newProducer(on.store, faulty(c.workers+n), j, sending{mix: c.mix(n), Start: start, Span: c.span()})
		p.log = slog.New(slog.NewTextHandler(logs, nil))
		senders.Go(func() { errs <- p.run(ctx, io.Discard) })
	}
	senders.Go(func() {
		_ = sleep.For(ctx, c.span()/2)
		strand(ctx, strandings, c.lease)
	})
	senders.Wait()
	healer, err := open("healer")
	if err == nil {
		_, err = healer.rec.Write(history.Event{Kind: history.Injected, Fault: "the last", Target: "store"})
	}
	for _, s := range stores {
		s.Heal()
	}
	err = errors.Join(err, c.drain(ctx, on.store))
	stop()
	workers.Wait()
	close(errs)
	for failed := range errs {
		err = errors.Join(err, failed)
	}
	for _, j := range journals {
		err = errors.Join(err, j.rec.Close())
	}
	for _, s := range stores {
		for what, n := range maps.All(s.Counts()) {
			met[what] += n
		}
	}
	return met, err
}
