package app

import (
	"context"
	"sync/atomic"

	"github.com/symphony-messenger/symphony"
)

// sharedLimits counts for several workers what each would count for itself.
type sharedLimits struct {
	limits            symphony.Limits
	started, failures atomic.Int64
	reached           func()
}

// observer counts the steps of one worker, and tells next.
func (s *sharedLimits) observer(next symphony.Observer) symphony.Observer {
	return counting{s, next}
}

type counting struct {
	*sharedLimits
	next symphony.Observer // nil: none
}

// Observe implements symphony.Observer.
func (c counting) Observe(ctx context.Context, e symphony.Event) {
	switch {
	case e.Kind == symphony.EventStarted:
		c.count(&c.started, c.limits.Messages)
	case e.Kind == symphony.EventSettled && (e.Outcome == symphony.Retried || e.Outcome == symphony.Failed):
		c.count(&c.failures, c.limits.Failures)
	}
	if c.next != nil {
		c.next.Observe(ctx, e)
	}
}

func (c counting) count(n *atomic.Int64, limit int) {
	if n.Add(1) == int64(limit) {
		c.reached()
	}
}
