package memory

import (
	"time"

	"github.com/symphony-messenger/symphony/monitor"
)

// A group lets one message of a queue run at a time, in the order in which they became due. Its head
// is the one whose turn it is, from then until its end: while it is ready, runs, or waits for a retry.
type group struct {
	key  string
	head *message
	line index // those that are due behind it
	size int   // messages of it that have not ended
}

func (q *queue) group(key string) *group {
	g := q.groups[key]
	if g == nil {
		g = &group{key: key, line: index{kind: byJoin}}
		q.groups[key] = g
	}
	g.size++
	return g
}

// enqueue makes m wait until it is available, or ends it when that would be too late.
func (t *Transport) enqueue(m *message, now time.Time) {
	if m.lateAt(m.available) {
		t.expire(m, now)
		return
	}
	if m.available <= now.UnixMilli() {
		t.line(m)
		return
	}
	m.become(monitor.Scheduled)
	t.due.add(m)
	t.watch(m)
	t.wakeBy(m.available)
}

// lateAt says whether no attempt may start at ms.
func (m *message) lateAt(ms int64) bool { return m.expires != 0 && m.expires <= ms }

// line puts m, which is due, behind its group or among the ready ones.
func (t *Transport) line(m *message) {
	m.waitFor("")
	if g := m.grp; g != nil && g.head != m {
		if g.head != nil {
			t.joined++
			m.join = t.joined
			m.waitFor(monitor.WaitingForGroup)
			g.line.add(m)
			m.become(monitor.Pending)
			t.watch(m)
			return
		}
		g.head = m
	}
	m.kind.ready.add(m)
	t.oldest.add(m)
	m.become(monitor.Pending)
	t.watch(m)
	t.wakeFor(m.kind)
}

// watch ends m when it expires while it waits.
func (t *Transport) watch(m *message) {
	if m.expires != 0 {
		t.expiring.add(m)
		t.wakeBy(m.expires)
	}
}

// leaveGroup lets the next one run when m, which has ended, was the head.
func (t *Transport) leaveGroup(m *message) {
	g := m.grp
	if g == nil {
		return
	}
	m.grp = nil
	if g.size--; g.size == 0 {
		delete(m.kind.queue.groups, g.key)
		return
	}
	if g.head != m {
		return
	}
	g.head = nil
	if len(g.line.items) > 0 {
		next := g.line.items[0]
		next.leave()
		t.line(next)
	}
}
