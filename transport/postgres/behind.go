package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// What lies before the start of claims, while the floors are high, is searched for in pieces: all of it at once would take a processor from
// the claims for a tenth of a second or more. How many messages make a piece of some milliseconds is found out; what counts is the time of the server, as the
// way there may be longer.
const (
	firstPiece = 5000
	tinyPiece  = 300 * time.Microsecond
	fastPiece  = time.Millisecond
	slowPiece  = 3 * time.Millisecond
)

// search searches through all queues, again and again while the floors are high, and lets them sink when there is little to search through.
func (t *Transport) search(ctx context.Context) {
	wait := tendEvery
	for sleep.For(ctx, wait) == nil {
		ends := t.floors.below()
		took, err := t.searchAll(ctx, ends)
		wait = time.Second
		switch {
		case err != nil:
			t.service.complain("search for what lies behind claims", err)
			t.floors.back()
		case ends != nil && took < slowClaim && ctx.Err() == nil:
			t.floors.sink()
		}
		if ends == nil || t.floors.hurry() {
			wait = tendEvery
		}
	}
}

// searchAll searches through each queue, from the floors of its claims back. It returns how long that took in the queue that took longest.
func (t *Transport) searchAll(ctx context.Context, ends map[string]int64) (longest time.Duration, err error) {
	for _, queue := range slices.Sorted(maps.Keys(ends)) {
		took := time.Duration(0)
		for end, size := ends[queue], int64(firstPiece); end > 0 && ctx.Err() == nil; {
			begin := max(0, end-size)
			d, err := t.searchPiece(ctx, queue, begin, end)
			if err != nil {
				return longest, fmt.Errorf("queue %q, messages %d to %d: %w", queue, begin+1, end, err)
			}
			end, took = begin, took+d
			switch {
			case d < tinyPiece: // there is nothing: it may be a long way
				size *= 8
			case d < fastPiece:
				size *= 2
			case d > slowPiece:
				size = max(size/2, firstPiece/10)
			}
			times := time.Duration(20) // a twentieth of the time
			if t.floors.hurry() {
				times = 10
			}
			_ = sleep.For(ctx, times*d)
		}
		longest = max(longest, took)
	}
	return longest, nil
}

// searchPiece returns how long the server took.
func (t *Transport) searchPiece(ctx context.Context, queue string, begin, end int64) (took time.Duration, err error) {
	var first level
	err = within(ctx, func(ctx context.Context) error {
		return native{t.work}.query(ctx, t.sql.behind, []any{queue, begin, end}, func(scan scanner) error {
			var priority int
			var seq *int64
			var ms float64
			err := scan(&priority, &seq, &ms)
			if took = max(took, time.Duration(ms*float64(time.Millisecond))); err == nil && seq != nil {
				first[priority-1] = *seq
			}
			return err
		})
	})
	if err == nil {
		t.floors.found(queue, first)
	}
	return took, err
}
