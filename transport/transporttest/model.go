package transporttest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A model is what one queue of a store must look like, kept as simply as can be. Its clock moves when
// the suite says so: by even minutes, while everything takes odd ones, so that what the test itself
// takes decides nothing.
type model struct {
	now      time.Duration
	messages []*modelled // in the order of acceptance
	groups   map[string][]*modelled
	keys     map[string]*modelledKey
	workers  map[string]*modelledWorker
}

type modelledWorker struct{ lease, until time.Duration }

type modelled struct {
	env    *symphony.Envelope
	due    time.Duration
	joined bool // it has become due, and is in its group
	status monitor.Status
	tally  tally // of the next delivery, or of the running one

	worker    string // "": nobody has it
	token     symphony.Token
	cancelled bool
}

type modelledKey struct {
	holder *modelled
	until  time.Duration
}

func newModel() *model {
	return &model{groups: make(map[string][]*modelled), keys: make(map[string]*modelledKey), workers: make(map[string]*modelledWorker)}
}

func (m *modelled) live() bool {
	return m.status == monitor.Pending || m.status == monitor.Scheduled || m.status == monitor.Processing
}

// accept returns the receipt that env must get.
func (m *model) accept(env *symphony.Envelope) symphony.Receipt {
	if k := m.keys[env.Key]; env.Key != "" && k != nil && (k.until > m.now || k.holder.live()) {
		return symphony.Receipt{ID: k.holder.env.ID, Duplicate: true}
	}
	got := &modelled{env: env, due: m.now + env.Delay, tally: tally{Attempt: 1}}
	if env.Key != "" {
		m.keys[env.Key] = &modelledKey{got, m.now + env.Window}
	}
	m.messages = append(m.messages, got)
	m.promote(got)
	return symphony.Receipt{ID: env.ID}
}

// promote sets the status of a message that nobody has, and lets it join its group when it is due.
func (m *model) promote(msg *modelled) {
	if msg.due > m.now {
		msg.status = monitor.Scheduled
		return
	}
	msg.status = monitor.Pending
	if group := msg.env.Group; group != "" && !msg.joined {
		m.groups[group] = append(m.groups[group], msg)
	}
	msg.joined = true
}

// ready are the messages that can be claimed, the first one first.
func (m *model) ready() (list []*modelled) {
	for _, msg := range m.messages {
		if msg.status == monitor.Pending && (msg.env.Group == "" || m.groups[msg.env.Group][0] == msg) {
			list = append(list, msg)
		}
	}
	slices.SortStableFunc(list, func(a, b *modelled) int { return cmp.Compare(b.env.Priority, a.env.Priority) })
	return list
}

func (m *model) lease(msg *modelled, d symphony.Delivery, c symphony.Claim) {
	msg.status, msg.worker, msg.token = monitor.Processing, c.Worker, d.Token
	m.workers[c.Worker] = &modelledWorker{c.Lease, m.now + c.Lease}
}

func (m *model) end(msg *modelled, status monitor.Status) {
	msg.status, msg.worker, msg.token = status, "", ""
	if group := msg.env.Group; group != "" && msg.joined {
		m.groups[group] = slices.DeleteFunc(m.groups[group], func(other *modelled) bool { return other == msg })
	}
}

// held are the tokens that are worth something.
func (m *model) held() (tokens []symphony.Token) {
	for _, msg := range m.messages {
		if msg.token != "" {
			tokens = append(tokens, msg.token)
		}
	}
	return tokens
}

func (m *model) putBack(msg *modelled, after time.Duration) {
	msg.worker, msg.token = "", ""
	if msg.cancelled {
		m.end(msg, monitor.Cancelled)
		return
	}
	msg.due = m.now + after
	m.promote(msg)
}

// settle applies v and says whether its lease was there.
func (m *model) settle(v symphony.Verdict) bool {
	i := slices.IndexFunc(m.messages, func(msg *modelled) bool { return msg.token != "" && msg.token == v.Token })
	if i < 0 {
		return false
	}
	msg := m.messages[i]
	switch {
	case v.Outcome == symphony.Completed:
		m.end(msg, monitor.Completed)
	case msg.cancelled || v.Outcome == symphony.Cancelled:
		m.end(msg, monitor.Cancelled)
	case v.Outcome == symphony.Failed:
		m.end(msg, monitor.Failed)
	default:
		switch v.Outcome {
		case symphony.Retried:
			msg.tally.Attempt++
		case symphony.Unhandled:
			msg.tally.Unhandled++
		}
		m.putBack(msg, v.After)
	}
	return true
}

// advance moves the clock: leases end, then messages become due in the order of their times.
func (m *model) advance(d time.Duration) {
	m.now += d
	for _, msg := range m.messages {
		if msg.worker != "" && m.workers[msg.worker].until <= m.now {
			msg.tally.Crashes++
			m.putBack(msg, 0)
		}
	}
	waiting := slices.DeleteFunc(slices.Clone(m.messages), func(msg *modelled) bool {
		return msg.status != monitor.Scheduled || msg.due > m.now
	})
	slices.SortStableFunc(waiting, func(a, b *modelled) int { return cmp.Compare(a.due, b.due) })
	for _, msg := range waiting {
		m.promote(msg)
	}
}

func (m *model) cancel(msg *modelled) {
	if msg.status == monitor.Processing {
		msg.cancelled = true
		return
	}
	m.end(msg, monitor.Cancelled)
}

// renew returns what the heartbeat of a worker with the tokens held must answer.
func (m *model) renew(worker string, held []symphony.Token) (want symphony.Renewal) {
	for _, token := range held {
		i := slices.IndexFunc(m.messages, func(msg *modelled) bool { return msg.worker == worker && msg.token == token })
		switch {
		case i < 0:
			want.Lost = append(want.Lost, token)
		case m.messages[i].cancelled:
			want.Cancelled = append(want.Cancelled, token)
		}
	}
	m.workers[worker].until = m.now + m.workers[worker].lease
	return want
}

func (m *model) counts(queue string) map[countOf]int64 {
	all := make(map[countOf]int64)
	for _, msg := range m.messages {
		all[countOf{queue, msg.env.Type, msg.status}]++
	}
	return all
}

func (m *modelled) String() string {
	return fmt.Sprintf("%s priority %d group %q key %q", m.status, m.env.Priority, m.env.Group, m.env.Key)
}
