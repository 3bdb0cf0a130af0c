package memory

import (
	"bytes"
	"container/list"
	"maps"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A message is what the store has of one envelope. Times are in milliseconds; zero stands for none.
type message struct {
	env  *symphony.Envelope // the store's own copy; it never changes
	seq  int64              // its place among messages of the same priority
	join int64              // its place in its group
	kind *kind
	grp  *group // nil: it has none

	status     monitor.Status
	waitingFor string

	created, scheduled, available, expires, finished int64

	retries, crashes, snoozes, unhandled int
	fence                                int64

	lease     lease
	cancelled bool // somebody wants it cancelled while it runs

	reason               symphony.Reason
	lastError, lastClass string
	attempts             []monitor.Attempt
	print                string // the fingerprint of a dead letter, once somebody has asked

	in     [indexKinds]*index
	at     [indexKinds]int // its position there
	letter *list.Element   // among the dead letters
	buried int64           // its place there
}

// A lease is a message in the hands of a worker; the worker is nil when there is none.
type lease struct {
	worker *worker
	token  symphony.Token
	since  int64
}

// A kind is the messages of one type in one queue.
type kind struct {
	queue     *queue
	name      string
	ready     index
	counts    map[monitor.Status]int64
	noHandler int64 // scheduled ones that wait for a handler
}

// A queue is the messages of one name.
type queue struct {
	name   string
	kinds  map[string]*kind
	groups map[string]*group
}

func (t *Transport) kind(queueName, typ string) *kind {
	q := t.queues[queueName]
	if q == nil {
		q = &queue{name: queueName, kinds: make(map[string]*kind), groups: make(map[string]*group)}
		t.queues[queueName] = q
	}
	k := q.kinds[typ]
	if k == nil {
		k = &kind{queue: q, name: typ, ready: index{kind: byOrder}, counts: make(map[monitor.Status]int64)}
		q.kinds[typ] = k
	}
	return k
}

// live says whether a message of this status has not ended.
func live(s monitor.Status) bool {
	return s == monitor.Pending || s == monitor.Scheduled || s == monitor.Processing
}

// become changes the status and the counts. Ends other than dead letters are counted for good.
func (m *message) become(s monitor.Status) {
	if live(m.status) || m.status == monitor.Failed {
		m.kind.counts[m.status]--
	}
	m.status = s
	m.kind.counts[s]++
}

// waitFor notes why m is not ready, and counts those that wait for a handler.
func (m *message) waitFor(what string) {
	if m.waitingFor == monitor.WaitingForHandler {
		m.kind.noHandler--
	}
	if m.waitingFor = what; what == monitor.WaitingForHandler {
		m.kind.noHandler++
	}
}

// leave takes m out of the indexes of waiting messages.
func (m *message) leave() {
	for _, x := range m.in {
		if x != nil {
			x.remove(m)
		}
	}
}

// clone copies env, so that nobody's change of one copy is seen in the other. What only the sending
// side may know stays behind.
func clone(env *symphony.Envelope) *symphony.Envelope {
	own := &symphony.Envelope{
		ID: env.ID, Type: env.Type, Version: env.Version, Subscriber: env.Subscriber,
		Body: bytes.Clone(env.Body), ContentType: env.ContentType, Headers: maps.Clone(env.Headers), Tags: slices.Clone(env.Tags),
		Queue: env.Queue, Group: env.Group, Priority: env.Priority, Delay: env.Delay, At: env.At,
		Expires: env.Expires, Key: env.Key, Window: env.Window,
	}
	own.MaxRetries = clonePointer(env.MaxRetries)
	return own
}

func clonePointer(n *int) *int {
	if n == nil {
		return nil
	}
	own := *n
	return &own
}

// delivery is what the worker that has leased m gets. now is the time of the store, here the same
// moment by the clock of the process.
func (m *message) delivery(now, here time.Time, lease time.Duration) symphony.Delivery {
	env := clone(m.env)
	env.Delay, env.At = 0, timeOf(m.scheduled)
	env.CreatedAt, env.Attempt, env.Crashes, env.Fence = timeOf(m.created), m.retries+1, m.crashes, m.fence
	d := symphony.Delivery{Envelope: env, Token: m.lease.token, DueAt: timeOf(m.available), ClaimedAt: timeOf(m.lease.since), Until: here.Add(lease), Unhandled: m.unhandled}
	if m.expires == 0 {
		env.Expires = 0
	} else {
		d.Deadline = here.Add(timeOf(m.expires).Sub(now))
	}
	return d
}

// record is what people see of m.
func (m *message) record() monitor.Record {
	env := m.env
	r := monitor.Record{
		ID: env.ID, Type: env.Type, Subscriber: env.Subscriber, Queue: env.Queue,
		Status: m.status, WaitingFor: m.waitingFor, Priority: env.Priority,
		Body: bytes.Clone(env.Body), ContentType: env.ContentType, Version: env.Version,
		Headers: maps.Clone(env.Headers), Tags: slices.Clone(env.Tags), Group: env.Group, Key: env.Key,
		CreatedAt: timeOf(m.created), ScheduledAt: timeOf(m.scheduled), ExpiresAt: timeOf(m.expires), FinishedAt: timeOf(m.finished),
		RetryCount: m.retries, MaxRetries: clonePointer(env.MaxRetries), CrashCount: m.crashes, SnoozeCount: m.snoozes, Fence: m.fence,
		Reason: m.reason, LastError: m.lastError, ErrorClass: m.lastClass, Attempts: slices.Clone(m.attempts),
	}
	if live(m.status) {
		r.AvailableAt = timeOf(m.available)
	}
	if w := m.lease.worker; w != nil {
		r.LockedBy, r.LockedAt, r.LockedUntil = w.name, timeOf(m.lease.since), timeOf(w.until)
	}
	if m.status == monitor.Failed {
		r.Fingerprint = m.fingerprint()
	}
	return r
}

// fingerprint is computed once, when somebody looks: it costs more than all else that ends a message.
func (m *message) fingerprint() string {
	if m.print == "" {
		last := symphony.Failure{Error: m.lastError, Class: m.lastClass}
		m.print = last.Fingerprint(m.env.Type)
	}
	return m.print
}
