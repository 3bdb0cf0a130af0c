package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// A plan is one run of the program: every figure for every peer and durability, round by round. Peers
// take turns within a round, so that a slow spell of the machine hits them alike.
type plan struct {
	peers   []peer
	figures []figure
	syncs   []string
	rounds  int
	sizes   sizes
	dir     string    // the stores are made here, one after another
	log     io.Writer // one line a measurement
}

// A key names what is measured.
type key struct{ figure, unit, system, store, sync, history string }

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
	for round := range p.rounds {
		for _, sync := range p.syncs {
			for _, f := range p.figures {
				for _, with := range p.peers {
					if with.history == "off" && f.name != "drain" {
						continue // history is written when work is done: it changes the drain only
					}
					began := time.Now()
					values, err := p.measure(ctx, with, sync, f)
					if err != nil {
						return r, fmt.Errorf("%s of %s at synchronous=%s: %w", f.name, with.name, sync, err)
					}
					for _, name := range sortedKeys(values) {
						r.add(key{name, f.unit, with.name, with.store, sync, with.history}, values[name])
						fmt.Fprintf(p.log, "round %d  %-6s  %-11s  %-8s  history %-3s  %10.5g %s\n",
							round+1, sync, name, with.name, with.history, values[name], f.unit)
					}
					fmt.Fprintf(p.log, "         took %.1f s in all\n", time.Since(began).Seconds())
				}
			}
		}
	}
	return r, nil
}

// measure opens a fresh store, measures one figure on it, and removes it.
func (p *plan) measure(ctx context.Context, with peer, sync string, f figure) (_ map[string]float64, err error) {
	dir, err := os.MkdirTemp(p.dir, "store-")
	if err != nil {
		return nil, fmt.Errorf("make a place for the store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := with.open(ctx, place{dir, sync})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return f.run(ctx, s, p.sizes)
}

func sortedKeys(m map[string]float64) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
