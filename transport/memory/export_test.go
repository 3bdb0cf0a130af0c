package memory

import "time"

// Advance moves the clock of t forward.
func (t *Transport) Advance(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shift += d
	for w := range t.waiters {
		t.wake(w)
	}
}
