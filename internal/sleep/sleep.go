// Package sleep waits as long as a context lets it.
package sleep

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends, and returns why it did, also when there is nothing to wait for.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
