package memory

import "container/heap"

// An index is an ordered set of messages: its first one costs nothing, each change O(log n).
type index struct {
	kind  indexKind
	items []*message
}

// An indexKind is an order. A message is in at most one index of each kind, and in at most one of
// byOrder, byDue and byJoin: that is where it waits for its turn.
type indexKind int

const (
	byOrder  indexKind = iota // ready: priority, then acceptance
	byDue                     // scheduled
	byJoin                    // behind its group
	byAge                     // ready: how long
	byExpiry                  // waiting, wherever
	indexKinds
)

func (x *index) less(a, b *message) bool {
	switch x.kind {
	case byOrder:
		if a.env.Priority != b.env.Priority {
			return a.env.Priority > b.env.Priority
		}
	case byDue, byAge:
		if a.available != b.available {
			return a.available < b.available
		}
	case byJoin:
		return a.join < b.join
	case byExpiry:
		return a.expires < b.expires
	}
	return a.seq < b.seq
}

func (x *index) add(m *message) {
	m.in[x.kind] = x
	heap.Push(x, m)
}

func (x *index) remove(m *message) {
	heap.Remove(x, m.at[x.kind])
	m.in[x.kind] = nil
}

// time is what an index is ordered by, if that is a time.
func (x *index) time(m *message) int64 {
	if x.kind == byExpiry {
		return m.expires
	}
	return m.available
}

// next is the time of the first message.
func (x *index) next() int64 {
	if len(x.items) == 0 {
		return never
	}
	return x.time(x.items[0])
}

// first returns the first message, if its time is not after ms.
func (x *index) first(ms int64) *message {
	if x.next() > ms || len(x.items) == 0 {
		return nil
	}
	return x.items[0]
}

// Len implements heap.Interface.
func (x *index) Len() int { return len(x.items) }

// Less implements heap.Interface.
func (x *index) Less(i, j int) bool { return x.less(x.items[i], x.items[j]) }

// Swap implements heap.Interface.
func (x *index) Swap(i, j int) {
	x.items[i], x.items[j] = x.items[j], x.items[i]
	x.items[i].at[x.kind], x.items[j].at[x.kind] = i, j
}

// Push implements heap.Interface.
func (x *index) Push(v any) {
	m := v.(*message)
	m.at[x.kind] = len(x.items)
	x.items = append(x.items, m)
}

// Pop implements heap.Interface.
func (x *index) Pop() any {
	last := len(x.items) - 1
	m := x.items[last]
	x.items[last] = nil
	x.items = x.items[:last]
	return m
}
