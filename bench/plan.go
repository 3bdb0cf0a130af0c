package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// A plan is one run of the program: every figure for every peer and durability, round by round. Peers
// take turns within a round, so that a slow spell of the machine hits them alike.
type plan struct {
	stores []*store
	log    io.Writer // one line a measurement
}

// A key names what is measured.
type key struct {
	figure, unit, system, store, sync, history string

	goroutines int // that send; 0: it is not about sending
}

// results has one value of each key a round.
type results struct {
	order []key
	runs  map[key][]float64
}

func (r *results) add(k key, value float64) {
	if _, ok := r.runs[k]; !ok {
		r.order = append(r.order, k)
	}
	r.runs[k] = append(r.runs[k], value)
}

func (p *plan) run(ctx context.Context) (*results, error) {
	r := &results{runs: make(map[key][]float64)}
	for _, st := range p.stores {
		for round := range st.rounds() {
			for _, sync := range st.syncs {
				for _, f := range st.figures {
					if round >= st.settings.Rounds[f.name] {
						continue
					}
					if err := p.measure(ctx, turn{st, sync, f, round}, r); err != nil {
						return r, err
					}
				}
			}
		}
	}
	return r, nil
}

// A turn is one figure of one round: all peers have it, one after another.
type turn struct {
	store  *store
	sync   string
	figure figure
	round  int
}

func (p *plan) measure(ctx context.Context, t turn, into *results) error {
	n := t.store.settings.Sizes
	n.Goroutines = cmp.Or(t.figure.goroutines, n.Goroutines)
	for _, with := range t.store.peers {
		if !slices.Contains(with.figures, t.figure.name) {
			continue
		}
		began := time.Now()
		values, err := t.store.measure(ctx, with, t.sync, func(s system) ([]value, error) { return t.figure.run(ctx, s, n) })
		if err != nil {
			return fmt.Errorf("%s of %s on %s at synchronous=%s: %w", t.figure.name, with.name, t.store.name, t.sync, err)
		}
		for _, v := range values {
			k := key{figure: v.figure, unit: v.unit, system: with.name, store: t.store.name, sync: t.sync, history: with.history}
			if t.figure.sends {
				k.goroutines = n.Goroutines
			}
			into.add(k, v.is)
			fmt.Fprintf(p.log, "round %d  %-8s  %-6s  %-16s  %-12s  history %-3s  %10.5g %s\n",
				t.round+1, k.store, k.sync, k.figure, k.system, k.history, v.is, k.unit)
		}
		fmt.Fprintf(p.log, "         took %.1f s in all\n", time.Since(began).Seconds())
	}
	return nil
}

// rounds is how many the figure has that has the most.
func (st *store) rounds() (most int) {
	for _, f := range st.figures {
		most = max(most, st.settings.Rounds[f.name])
	}
	return most
}

// measure opens a fresh store, measures one figure on it, and removes it.
func (st *store) measure(ctx context.Context, with peer, sync string, do func(system) ([]value, error)) (_ []value, err error) {
	at, remove, err := st.fresh(ctx, sync)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	s, err := with.open(ctx, at)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	runtime.GC() // what earlier measurements have left is not this one's
	return do(s)
}
