package app

import (
	"context"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Examine looks at a store, if it can do that, and at what it counts. It changes nothing.
func Examine(ctx context.Context, t symphony.Transport) []monitor.Check {
	var all []monitor.Check
	examiner, ok := symphony.As[monitor.Examiner](t)
	if ok {
		all = examiner.Examine(ctx)
	}
	for _, c := range all {
		if c.Level == monitor.LevelFail {
			return all // what it counts, it could not say either
		}
	}
	if counter, ok := symphony.As[monitor.Counter](t); ok {
		counts, err := counter.Counts(ctx)
		if err != nil {
			return append(all, monitor.Check{Name: "counts", Level: monitor.LevelFail, Text: err.Error(), Err: err})
		}
		all = append(all, monitor.ExamineCounts(counts)...)
	}
	return all
}
