// Package outlast lets work that has begun go on for a while when its caller is to stop.
package outlast

import (
	"context"
	"time"
)

// Context returns a context that ends d after its parent, with the parent's values. The caller ends it with the function, which must be
// called.
func Context(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	forget := context.AfterFunc(parent, func() { time.AfterFunc(d, cancel) })
	return ctx, func() {
		forget()
		cancel()
	}
}
