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
// the claims for a tenth of a second or more. How many messages make a piece of some milliseconds is found out.
const (
	firstPiece = 10_000
	fastPiece  = 2 * time.Millisecond
	slowPiece  = 8 * time.Millisecond
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
		case ends != nil && took < slowClaim:
			t.floors.sink()
		}
		if ends == nil || t.floors.hurry() {
			wait = tendEvery
		}
	}
}

// searchAll searches through each queue, from the start of its claims back. It returns how long the statements took.
func (t *Transport) searchAll(ctx context.Context, ends map[string]int64) (took time.Duration, err error) {
	for _, queue := range slices.Sorted(maps.Keys(ends)) {
		size := int64(firstPiece)
		for end := ends[queue]; end > 0; {
			begun := time.Now()
			begin := max(0, end-size)
			if err := within(ctx, func(ctx context.Context) error { return t.searchPiece(ctx, queue, begin, end) }); err != nil {
				return took, fmt.Errorf("queue %q, messages %d to %d: %w", queue, begin+1, end, err)
			}
			d := time.Since(begun)
			switch took, end = took+d, begin; {
			case d < fastPiece:
				size *= 2
			case d > slowPiece:
				size = max(size/2, 1000)
			}
			times := time.Duration(20) // a twentieth of the time
			if t.floors.hurry() {
				times = 10
			}
			if err := sleep.For(ctx, times*d); err != nil {
				return took, nil
			}
		}
	}
	return took, nil
}

func (t *Transport) searchPiece(ctx context.Context, queue string, begin, end int64) error {
	var first level
	err := native{t.work}.query(ctx, t.sql.behind, []any{queue, begin, end}, func(scan scanner) error {
		var priority int
		var seq *int64
		if err := scan(&priority, &seq); err != nil || seq == nil {
			return err
		}
		first[priority-1] = *seq
		return nil
	})
	if err == nil {
		t.floors.found(queue, first)
	}
	return err
}
