// Package recent remembers what was found to be so, for a while.
package recent

import (
	"sync/atomic"
	"time"
)

// A Finding is something that was found to be so, and may not be any more after a while. The zero value was never found. Its methods may be
// called concurrently.
type Finding struct{ at atomic.Pointer[time.Time] } // nil: never, or not any more

// Found notes that it was so at a time.
func (f *Finding) Found(at time.Time) { f.at.Store(&at) }

// Forget makes the next call of Due true.
func (f *Finding) Forget() { f.at.Store(nil) }

// Known reports whether it was found, however long ago.
func (f *Finding) Known() bool { return f.at.Load() != nil }

// Due reports whether the caller is to look: it was never found, or longer ago than every. While one looks again, it is due for nobody else.
func (f *Finding) Due(every time.Duration) bool {
	last := f.at.Load()
	if last == nil {
		return true
	}
	now := time.Now()
	return now.Sub(*last) >= every && f.at.CompareAndSwap(last, &now)
}
