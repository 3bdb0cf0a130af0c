// Package wake tells all who wait that something has happened.
package wake

import "sync"

// A Broadcast wakes all who wait at this moment. The zero value is ready; its methods may be called concurrently.
type Broadcast struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody waits
}

// Wait returns a channel that is closed by the next Send.
func (b *Broadcast) Wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

// Send wakes those who wait. It does not block.
func (b *Broadcast) Send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
