package memory

import (
	"container/heap"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A keyName is what idempotency keys are unique by.
type keyName struct{ typ, subscriber, key string }

// A key is a keyName in use.
type key struct {
	name   keyName
	holder symphony.ID
	until  int64 // taken until then in any case; 0: only while the holder lives
}

func nameOf(env *symphony.Envelope) keyName { return keyName{env.Type, env.Subscriber, env.Key} }

// holds says whether k is taken at ms: within its window, and while its message lives.
func (t *Transport) holds(k *key, ms int64) bool {
	if ms < k.until {
		return true
	}
	m := t.messages[k.holder]
	return m != nil && live(m.status)
}

// take gives the key of env, if it has one, to env, unless another message holds it.
func (t *Transport) take(env *symphony.Envelope, now time.Time) (holder symphony.ID, taken bool) {
	if env.Key == "" {
		return holder, false
	}
	if k := t.keys[nameOf(env)]; k != nil && t.holds(k, now.UnixMilli()) {
		return k.holder, true
	}
	t.hold(env, now)
	return holder, false
}

// hold gives the key of env, accepted at a time, to env.
func (t *Transport) hold(env *symphony.Envelope, accepted time.Time) {
	k := &key{name: nameOf(env), holder: env.ID}
	if env.Window > 0 {
		k.until = roundUp(accepted.Add(env.Window))
	}
	t.keys[k.name] = k
}

// endKey is called when m has ended: its key is free as soon as its window is over.
func (t *Transport) endKey(m *message, ms int64) {
	if m.env.Key == "" {
		return
	}
	k := t.keys[nameOf(m.env)]
	if k == nil || k.holder != m.env.ID {
		return
	}
	if k.until <= ms {
		delete(t.keys, k.name)
		return
	}
	heap.Push(&t.freeing, k)
}

// freeKey frees the key of m at once.
func (t *Transport) freeKey(m *message) {
	if k := t.keys[nameOf(m.env)]; k != nil && k.holder == m.env.ID {
		delete(t.keys, k.name)
	}
}

// retake gives the key back to m, a dead letter that is to live again, or says who has it now.
func (t *Transport) retake(m *message, ms int64) (holder symphony.ID, taken bool) {
	if m.env.Key == "" {
		return holder, false
	}
	if k := t.keys[nameOf(m.env)]; k != nil && k.holder != m.env.ID && t.holds(k, ms) {
		return k.holder, true
	}
	t.hold(m.env, timeOf(m.created))
	return holder, false
}

// freeKeys forgets keys whose window is over, most at once, and says whether there are more.
func (t *Transport) freeKeys(ms int64, most int) (more bool) {
	for ; most > 0 && len(t.freeing) > 0 && t.freeing[0].until <= ms; most-- {
		k := heap.Pop(&t.freeing).(*key)
		if t.keys[k.name] == k && !t.holds(k, ms) {
			delete(t.keys, k.name)
		}
	}
	return len(t.freeing) > 0 && t.freeing[0].until <= ms
}

// keysByEnd is a heap of keys.
type keysByEnd []*key

// Len implements heap.Interface.
func (h keysByEnd) Len() int { return len(h) }

// Less implements heap.Interface.
func (h keysByEnd) Less(i, j int) bool { return h[i].until < h[j].until }

// Swap implements heap.Interface.
func (h keysByEnd) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *keysByEnd) Push(k any) { *h = append(*h, k.(*key)) }

// Pop implements heap.Interface.
func (h *keysByEnd) Pop() any {
	last := len(*h) - 1
	k := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return k
}
