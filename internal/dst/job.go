package main

import (
	"fmt"
	"time"
)

// A job is one zone.
type job struct {
	zone        string
	exprs       []string
	from, years int
	whole       bool // walk through all of it, not only near the changes
}

// A span is a time to walk through.
type span struct{ from, to time.Time }

func (j job) do(r *report, parse parseFunc) error {
	zone, err := time.LoadLocation(j.zone)
	if err != nil {
		return fmt.Errorf("read the zone %s: %w", j.zone, err)
	}
	entries := make([]entry, len(j.exprs))
	nexts := make([]nextFunc, len(j.exprs))
	for i, expr := range j.exprs {
		if entries[i], err = readEntry(expr); err != nil {
			return err
		}
		if nexts[i], err = parse(expr, zone); err != nil {
			return err
		}
	}
	spans, changes := j.spans(zone)
	for _, s := range spans {
		c := walk(zone, s)
		r.walked(c, changes)
		changes = 0
		for i := range entries {
			r.add(zone, j.exprs[i], compare(c, c.runs(&entries[i]), nexts[i]))
		}
	}
	return nil
}

// spans returns what to walk through: the years one by one, or the days around each change of the clock, or, in a
// zone that has none, a few days in the middle.
func (j job) spans(zone *time.Location) (spans []span, changes int) {
	const around = 2 * 24 * time.Hour
	first := time.Date(j.from, 1, 1, 0, 0, 0, 0, time.UTC)
	end := first.AddDate(j.years, 0, 0)
	if j.whole {
		for y := first; y.Before(end); y = y.AddDate(1, 0, 0) {
			spans = append(spans, span{y, y.AddDate(1, 0, 0)})
		}
		return spans, 0
	}
	for _, change := range changesOf(zone, first, end) {
		spans = append(spans, span{change.Add(-around), change.Add(around)})
	}
	if len(spans) == 0 {
		middle := first.AddDate(j.years/2, 0, 0)
		return []span{{middle.Add(-around), middle.Add(around)}}, 0
	}
	return spans, len(spans)
}

// changesOf looks every half hour whether the offset is another one.
func changesOf(zone *time.Location, from, to time.Time) (changes []time.Time) {
	const step = 30 * time.Minute
	_, before := from.In(zone).Zone()
	for t := from; t.Before(to); t = t.Add(step) {
		if _, offset := t.In(zone).Zone(); offset != before {
			changes = append(changes, t)
			before = offset
		}
	}
	return changes
}

// A comparison is of the runs that the rule wants and those that there are.
type comparison struct {
	runs            int
	missed, doubled []time.Time
}

// compare asks next for the runs of a span: for each from the one before it, and from just before it.
func compare(c *clock, want []time.Time, next nextFunc) comparison {
	result := comparison{runs: len(want)}
	after := c.from.Add(-time.Second)
	for {
		got := next(after)
		if got.IsZero() || !got.Before(c.to) {
			break
		}
		if !got.After(after) {
			result.doubled = append(result.doubled, got)
			break // it would go on for ever
		}
		for len(want) > 0 && want[0].Before(got) {
			result.missed = append(result.missed, want[0])
			want = want[1:]
		}
		switch {
		case len(want) == 0 || !want[0].Equal(got):
			result.doubled = append(result.doubled, got)
		default:
			if !next(got.Add(-time.Second)).Equal(got) {
				result.missed = append(result.missed, got)
			}
			want = want[1:]
		}
		after = got
	}
	result.missed = append(result.missed, want...)
	return result
}
