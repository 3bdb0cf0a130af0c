// Package gather collects what many goroutines finish, for one that takes it in batches.
package gather

import "sync"

// A Basket is where they meet. It wakes the taker for the first item, and again when nothing more is
// under way: not for each. Its methods may be called concurrently. Make one with New.
type Basket[T any] struct {
	mu       sync.Mutex
	items    []T
	underWay int
	wake     chan struct{}
}

// New returns an empty basket.
func New[T any]() *Basket[T] { return &Basket[T]{wake: make(chan struct{}, 1)} }

// Expect announces n more items.
func (b *Basket[T]) Expect(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.underWay += n
}

// Put adds an announced item. It does not block.
func (b *Basket[T]) Put(item T) {
	b.mu.Lock()
	b.items = append(b.items, item)
	b.underWay--
	wake := len(b.items) == 1 || b.underWay == 0
	b.mu.Unlock()
	if wake {
		select {
		case b.wake <- struct{}{}:
		default: // the taker has one wake-up to see already
		}
	}
}

// Wake has a value when the taker should look.
func (b *Basket[T]) Wake() <-chan struct{} { return b.wake }

// Len returns how many items are there and how many are announced.
func (b *Basket[T]) Len() (items, underWay int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items), b.underWay
}

// Take empties the basket into the caller's hands, and goes on with the room of free, which the caller
// does not use any more.
func (b *Basket[T]) Take(free []T) []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.items
	b.items = free[:0]
	return taken
}
