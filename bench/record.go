package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// A record is one line of the results: a figure of one system, or a ratio of two.
type record struct {
	Figure     string    `json:"figure"`
	System     string    `json:"system,omitempty"` // of a ratio: both are of this system
	Versus     string    `json:"vs,omitempty"`     // of a ratio: Symphony against this one
	Store      string    `json:"store"`
	Sync       string    `json:"sync"`
	History    string    `json:"history"`
	Goroutines int       `json:"goroutines,omitempty"` // that send, where that is the question
	Value      float64   `json:"value"`                // the median of Runs
	Unit       string    `json:"unit,omitempty"`
	Runs       []float64 `json:"runs"` // one a round; of a ratio: that of the two runs of the round
}

// ours is the system that the others are compared with.
const ours = "symphony"

// records returns one record for each figure and, after them, for each ratio. A ratio above 1 says that
// ours is faster: more messages a second, or less latency. Both sides keep history.
func (r *results) records() []record {
	var figures, ratios []record
	for _, k := range r.order {
		figures = append(figures, k.record(r.runs[k]))
		if k.system == ours || k.system == "bare" || !slices.Contains(compared, k.figure) || r.slower(k) {
			continue
		}
		mine := k
		mine.system = ours
		over, under := r.runs[mine], r.runs[k]
		if k.unit == "ms" {
			over, under = under, over
		}
		if runs := ratio(over, under); len(runs) > 0 {
			q := k
			q.figure, q.system, q.unit = k.figure+"_ratio", "", ""
			one := q.record(runs)
			one.Versus = k.system
			ratios = append(ratios, one)
		}
	}
	return append(figures, slices.Concat(ratios, r.quotients())...)
}

// compared are the figures of ours that are divided by those of others.
var compared = []string{"drain", "single", "single_8", "single_64", "batch", "latency_p95", "sustained"}

// slower reports whether another way of the same peer to send batches was faster: ours is compared with the best one.
func (r *results) slower(k key) bool {
	other := map[string]string{"river": "river_fast", "river_fast": "river"}[k.system]
	best := k
	best.system = other
	return k.figure == "batch" && len(r.runs[best]) > 0 && median(r.runs[best]) > median(r.runs[k])
}

// quotients are ratios with names of their own: of two figures of ours, or of ours and the bare limit.
func (r *results) quotients() (all []record) {
	for _, q := range []struct{ figure, over, under, by, history string }{
		{"drain_vs_bare", "drain", "drain", "bare", "off"},
		{"drain_5m_behind_vs_drain", "drain_5m_behind", "drain_5m_behind" + alone, ours, "off"},
		{"drain_1m_delayed_vs_drain", "drain_1m_delayed", "drain_1m_delayed" + alone, ours, "off"},
		{"sustained_last_vs_first", "sustained_last_third", "sustained_first_third", ours, "on"},
	} {
		for _, k := range r.order {
			if k.figure != q.over || k.system != ours || k.history != q.history {
				continue
			}
			under := k
			under.figure, under.system = q.under, q.by
			if runs := ratio(r.runs[k], r.runs[under]); len(runs) > 0 {
				k.figure, k.unit = q.figure, ""
				one := k.record(runs)
				if q.by != ours {
					one.System, one.Versus = "", q.by
				}
				all = append(all, one)
			}
		}
	}
	return all
}

// ratio divides round by round, as far as both were measured.
func ratio(over, under []float64) []float64 {
	runs := make([]float64, min(len(over), len(under)))
	for i := range runs {
		runs[i] = over[i] / under[i]
	}
	return runs
}

func (k key) record(runs []float64) record {
	r := record{
		Figure: k.figure, System: k.system, Store: k.store, Sync: k.sync, History: k.history, Goroutines: k.goroutines, Unit: k.unit,
	}
	r.Value = rounded(median(runs))
	for _, v := range runs {
		r.Runs = append(r.Runs, rounded(v))
	}
	return r
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// rounded keeps four significant digits: more than any figure here is good for.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// write writes where the figures come from and then the records, one JSON object a line.
func write(w io.Writer, o origin, rs []record) error {
	e := json.NewEncoder(w)
	if err := e.Encode(o); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	for _, r := range rs {
		if err := e.Encode(r); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// table writes records for people, in Markdown, as docs/benchmarks.md has them.
func table(w io.Writer, rs []record) {
	fmt.Fprintf(w, "\n| store | figure | synchronous | of | history | median | rounds |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rs {
		of, unit := r.System, cmp.Or(r.Unit, "×")
		if r.Versus != "" {
			of = ours + " / " + r.Versus
		}
		rounds := strings.ReplaceAll(strings.Trim(fmt.Sprint(r.Runs), "[]"), " ", ", ")
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %v %s | %s |\n", r.Store, r.Figure, r.Sync, of, r.History, r.Value, unit, rounds)
	}
}
