package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// options are the command line. What is zero is as the store and the scale have it.
type options struct {
	scale                           scale
	store, figure, system           string
	sync, history                   string
	rounds                          int
	out, dir, cpuprofile            string
	river                           riverSettings
	symphony                        symphonySettings
	sizes                           sizes
	stores, figures, syncs, systems []string // what the lists name
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	isQuick := f.Bool("quick", false, "one round of small counts: shows that everything runs, measures nothing")
	isFull := f.Bool("full", false, "everything at its full size and five rounds of it: three hours")
	f.StringVar(&o.store, "store", "", "stores to measure, separated by commas: sqlite, postgres (default: all)")
	f.StringVar(&o.figure, "figure", "", "figures to measure, separated by commas: "+strings.Join(knownFigures(), ", ")+" (default: all)")
	f.StringVar(&o.sync, "sync", "", "values of SQLite's synchronous, separated by commas: normal, full (default: all)")
	f.StringVar(&o.system, "system", "", "systems to measure, separated by commas: river, symphony, bare (default: all)")
	f.StringVar(&o.history, "history", "", "measure systems with history on or off only (default: all)")
	f.IntVar(&o.rounds, "rounds", 0, "how often everything is measured; medians count (default: as long as there is time, up to 5)")
	f.StringVar(&o.out, "out", "", "write the records to this file (default results/latest.jsonl, when no flag or only -full is given)")
	f.StringVar(&o.dir, "dir", ".", "make the stores below this directory; a tmpfs would make all durable commits cheap")
	f.StringVar(&o.cpuprofile, "cpuprofile", "", "write a CPU profile of the whole run to this file")

	f.IntVar(&o.river.Workers, "river-workers", 0, "River's MaxWorkers (default 500 on SQLite, 1000 on PostgreSQL)")
	f.DurationVar(&o.river.Cooldown, "river-cooldown", 0, "River's FetchCooldown (default 5ms on SQLite, 2ms on PostgreSQL)")
	f.DurationVar(&o.river.Poll, "river-poll", 0, "River's FetchPollInterval (default 5ms on SQLite, 20ms on PostgreSQL)")
	f.BoolVar(&o.river.PollOnly, "river-poll-only", false, "River's PollOnly")
	f.IntVar(&o.river.Conns, "river-conns", 0, "open connections of River (default 1 on SQLite, as its documentation says, 20 on PostgreSQL)")
	f.IntVar(&o.symphony.Concurrency, "concurrency", 0, "Symphony's Worker.Concurrency (default 500 on SQLite, 1000 on PostgreSQL)")

	f.IntVar(&o.sizes.Drain, "drain", 0, "messages to drain")
	f.IntVar(&o.sizes.Goroutines, "goroutines", 0, "goroutines that send batches, and on SQLite single messages")
	f.DurationVar(&o.sizes.For, "for", 0, "how long single and batch send")
	f.DurationVar(&o.sizes.Latency, "latency-for", 0, "how long latency sends")
	f.IntVar(&o.sizes.Behind, "behind", 0, "messages that wait behind those to drain")
	f.IntVar(&o.sizes.Delayed, "delayed", 0, "messages that are not due, beside those to drain")
	f.DurationVar(&o.sizes.Sustained, "sustained-for", 0, "how long sustained sends and handles")
	f.IntVar(&o.sizes.Offer, "offer", 0, "messages a second that claim is offered")
	f.DurationVar(&o.sizes.Offered, "offer-for", 0, "how long claim is offered messages")
	f.IntVar(&o.sizes.Schedules, "schedules", 0, "schedules that tick every 100 s")
	f.DurationVar(&o.sizes.Scheduled, "schedules-for", 0, "how long they tick")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if f.NFlag() == 0 || f.NFlag() == 1 && *isFull {
		o.out = "results/latest.jsonl" // nothing but a run of everything may replace it unasked
	}
	switch {
	case *isQuick:
		o.scale = quick
	case *isFull:
		o.scale = full
	default:
		o.scale = normal
	}
	return o, o.lists()
}

// lists reads the options that are lists.
func (o *options) lists() (err error) {
	for _, l := range []struct {
		what, list string
		known      []string
		into       *[]string
	}{
		{"store", o.store, []string{"sqlite", "postgres"}, &o.stores},
		{"figure", o.figure, knownFigures(), &o.figures},
		{"sync", o.sync, []string{"normal", "full"}, &o.syncs},
		{"system", o.system, []string{"river", ours, "bare"}, &o.systems},
		{"history", o.history, []string{"on", "off"}, new([]string)},
	} {
		if *l.into, err = pick(l.what, l.list, l.known); err != nil {
			return err
		}
	}
	return nil
}

// knownFigures are what the option -figure knows.
func knownFigures() (names []string) {
	for _, f := range slices.Concat(sqliteFigures(), postgresFigures()) {
		if name := f.selected(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// selected is the value of -figure that selects f.
func (f *figure) selected() string {
	if f.option != "" {
		return f.option
	}
	return f.name
}

// pick splits a list and refuses what is not known: a misspelt figure must not measure nothing.
func pick(what, list string, known []string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s %q: known are %s", what, name, strings.Join(known, ", "))
		}
	}
	return names, nil
}

// open opens the stores that the options name, leaves of them what the options name, and notes in from
// what they are. stop ends what was started.
func (o *options) open(ctx context.Context, dir string, from *origin) (stores []*store, stop func() error, err error) {
	var c closer
	if slices.Contains(o.stores, "sqlite") {
		stores = append(stores, sqliteStore(dir, sqliteSettings(o.scale).with(o)))
	}
	if slices.Contains(o.stores, "postgres") {
		// Not in dir: where the one of a run that was killed is found, it is removed by the next.
		server, err := startServer(ctx, o.dir, o.scale)
		if err != nil {
			return nil, nil, err
		}
		c.add(server.Stop)
		s := postgresSettings(o.scale).with(o)
		if from.Versions["postgres"], s.Server, err = describeServer(ctx, server, o.scale); err != nil {
			return nil, nil, errors.Join(err, c.close())
		}
		stores = append(stores, postgresStore(server, s))
	}
	for _, st := range stores {
		o.leave(st)
		from.Stores[st.name] = st.settings
	}
	return stores, c.close, nil
}

// leave leaves of a store what the options name.
func (o *options) leave(st *store) {
	st.figures = slices.DeleteFunc(st.figures, func(f figure) bool { return !slices.Contains(o.figures, f.selected()) })
	st.peers = slices.DeleteFunc(st.peers, func(p peer) bool {
		name, _, _ := strings.Cut(p.name, "_") // river_fast is River
		return !slices.Contains(o.systems, name) || o.history != "" && p.history != o.history
	})
	maps.DeleteFunc(st.settings.Rounds, func(name string, _ int) bool {
		return !slices.ContainsFunc(st.figures, func(f figure) bool { return f.name == name })
	})
	if st.name == "sqlite" {
		st.syncs = o.syncs
	}
}
