// Package share divides the claims of a worker among its queues.
package share

import (
	"cmp"
	"slices"
)

// Queues is the order in which a worker asks its queues: by weight, as stride scheduling does it. Each
// message moves its queue's place in time on by one over the weight, and the queue that is furthest
// behind goes first. It is not safe for concurrent use.
type Queues struct {
	strict bool
	listed []*queue
	byName map[string]*queue
	now    float64 // where the last claim was served; a queue that was empty begins here, it saves nothing up
}

type queue struct {
	name   string
	stride float64
	most   int // messages in hand; 0: any number
	inHand int
	at     float64 // its place in time
	began  float64 // at, when the claim was made
}

// New returns no queues yet. Strict ones keep the order in which they were added.
func New(strict bool) *Queues {
	return &Queues{strict: strict, byName: make(map[string]*queue)}
}

// Add adds a queue of a weight of 1 or more, of which at most most messages are in hand at once; 0: any
// number. It reports whether the name is new; a known one changes nothing.
func (q *Queues) Add(name string, weight, most int) bool {
	if q.byName[name] != nil {
		return false
	}
	added := &queue{name: name, stride: 1 / float64(weight), most: most}
	q.listed = append(q.listed, added)
	q.byName[name] = added
	return true
}

// A Part is what a claim may take of one queue. Max 0: all of the claim.
type Part struct {
	Name string
	Max  int
}

// Claim returns the queues that have room, the one whose turn it is first. What the claim then brings is
// told to Took before the next call.
func (q *Queues) Claim() []Part {
	order := make([]*queue, 0, len(q.listed))
	for _, one := range q.listed {
		one.at = max(one.at, q.now)
		one.began = one.at
		if one.most == 0 || one.inHand < one.most {
			order = append(order, one)
		}
	}
	if !q.strict {
		slices.SortStableFunc(order, func(a, b *queue) int { return cmp.Compare(a.at, b.at) })
	}
	parts := make([]Part, len(order))
	for i, one := range order {
		parts[i].Name = one.name
		if one.most > 0 {
			parts[i].Max = one.most - one.inHand
		}
	}
	return parts
}

// Took counts a message of a queue as claimed and in hand.
func (q *Queues) Took(name string) {
	if one := q.byName[name]; one != nil {
		q.now = max(q.now, one.began)
		one.at += one.stride
		one.inHand++
	}
}

// Gave counts a message of a queue as no longer in hand.
func (q *Queues) Gave(name string) {
	if one := q.byName[name]; one != nil {
		one.inHand--
	}
}

// Limited reports whether of any queue only so many messages may be in hand.
func (q *Queues) Limited() bool {
	return slices.ContainsFunc(q.listed, func(one *queue) bool { return one.most > 0 })
}

// Open returns how many queues have room.
func (q *Queues) Open() (n int) {
	for _, one := range q.listed {
		if one.most == 0 || one.inHand < one.most {
			n++
		}
	}
	return n
}
