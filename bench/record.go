package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// A record is one line of the results: a figure of one system, or a ratio of two.
type record struct {
	Figure  string    `json:"figure"`
	System  string    `json:"system,omitempty"`
	Versus  string    `json:"vs,omitempty"` // of a ratio: Symphony against this one
	Store   string    `json:"store"`
	Sync    string    `json:"sync"`
	History string    `json:"history"`
	Value   float64   `json:"value"` // the median of Runs
	Unit    string    `json:"unit,omitempty"`
	Runs    []float64 `json:"runs"` // one a round; of a ratio: that of the two runs of the round
}

// ours is the system that the others are compared with.
const ours = "symphony"

// records returns one record for each figure and, after them, for each ratio. A ratio above 1 says that
// ours is faster: more messages a second, or less latency. Both sides keep history.
func (r *results) records() []record {
	var figures, ratios []record
	for _, k := range r.order {
		runs := r.runs[k]
		figures = append(figures, newRecord(record{
			Figure: k.figure, System: k.system, Store: k.store, Sync: k.sync, History: k.history, Unit: k.unit,
		}, runs))
		if k.system == ours || !slices.Contains([]string{"drain", "single", "batch", "latency_p95"}, k.figure) {
			continue
		}
		mine := k
		mine.system = ours
		ratio := make([]float64, 0, len(runs))
		for i, theirs := range runs[:min(len(runs), len(r.runs[mine]))] {
			if k.unit == "ms" {
				ratio = append(ratio, theirs/r.runs[mine][i])
			} else {
				ratio = append(ratio, r.runs[mine][i]/theirs)
			}
		}
		if len(ratio) > 0 {
			ratios = append(ratios, newRecord(record{
				Figure: k.figure + "_ratio", Versus: k.system, Store: k.store, Sync: k.sync, History: k.history,
			}, ratio))
		}
	}
	return append(figures, ratios...)
}

func newRecord(r record, runs []float64) record {
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
	fmt.Fprintf(w, "\n| figure | synchronous | of | history | median | rounds |\n|---|---|---|---|---|---|\n")
	for _, r := range rs {
		of, unit := r.System, " "+r.Unit
		if r.Versus != "" {
			of, unit = ours+" / "+r.Versus, " ×"
		}
		rounds := strings.ReplaceAll(strings.Trim(fmt.Sprint(r.Runs), "[]"), " ", ", ")
		fmt.Fprintf(w, "| %s | %s | %s | %s | %v%s | %s |\n", r.Figure, r.Sync, of, r.History, r.Value, unit, rounds)
	}
}
