package history_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// A simMsg is a row of the simulated store.
type simMsg struct {
	id, sum, group, key string
	due                 int64
	visible, inTx       bool
	state               history.Outcome
	attempt, crashes    int
	fence, leaseEnd     int64
	token               string // "" unless claimed
	holds               bool   // its group
	marked              bool   // as cancelled
}

// A simStore does what a correct one does, each method at one moment.
type simStore struct {
	msgs    []*simMsg
	keys    map[string]*simMsg
	until   map[string]int64 // by key
	effects map[string]int
}

// clock is the store's: in milliseconds.
func (st *simStore) clock(now int64) int64 { return now / ms * ms }

func (st *simStore) add(m *simMsg, now int64, window time.Duration, hidden bool) (holder *simMsg) {
	if h := st.keys[m.key]; m.key != "" && h != nil && (h.state == history.Live || now < st.until[m.key]) {
		return h
	}
	if m.key != "" {
		st.keys[m.key], st.until[m.key] = m, now+int64(window)
	}
	m.visible = !hidden
	st.msgs = append(st.msgs, m)
	return nil
}

// claim leases up to most messages that are due, those of a group only at its head.
func (st *simStore) claim(now int64, most int) []history.Event {
	for _, m := range st.msgs {
		if m.token != "" && m.leaseEnd <= now {
			m.token, m.holds = "", false
			m.crashes++
			if m.marked {
				m.state = history.Cancelled
			}
		}
	}
	waiting := slices.DeleteFunc(slices.Clone(st.msgs), func(m *simMsg) bool {
		return !m.visible || m.state != history.Live || (m.due > now && !m.holds)
	})
	slices.SortStableFunc(waiting, func(a, b *simMsg) int { return cmp.Compare(a.due, b.due) })
	taken := map[string]bool{}
	for _, m := range waiting {
		taken[m.group] = m.group != "" && (taken[m.group] || m.holds)
	}
	var got []history.Event
	for _, m := range waiting {
		if len(got) == most || m.token != "" || m.due > now || (taken[m.group] && !m.holds) {
			continue
		}
		taken[m.group] = m.group != ""
		m.fence++
		m.token, m.leaseEnd, m.holds = fmt.Sprintf("%s/%d", m.id, m.fence), now+int64(simLease), m.group != ""
		got = append(got, history.Event{
			Kind: history.Claim, Message: m.id, Token: m.token, Fence: m.fence, Attempt: m.attempt, Crashes: m.crashes,
			Store: now, LeaseEnd: m.leaseEnd, SHA256: m.sum,
		})
	}
	return got
}

// settle applies a verdict if the lease is still that of the token.
func (st *simStore) settle(m *simMsg, e history.Event, now int64) history.Phase {
	if m.token != e.Token || m.leaseEnd <= now {
		return history.Lost
	}
	m.token = ""
	switch e.Outcome {
	case history.Completed:
		m.state, m.holds = history.Completed, false
		st.effects[m.id]++
	case history.Failed:
		m.state, m.holds = history.Failed, false
	case history.Retried:
		m.attempt++
		m.due = now + int64(e.After)
	case history.Snoozed:
		m.due = now + int64(e.After)
	case history.Released:
		m.holds = false
	}
	if m.marked && m.state != history.Completed {
		m.state, m.holds = history.Cancelled, false
	}
	return history.OK
}

func (st *simStore) find(id string) *simMsg {
	i := slices.IndexFunc(st.msgs, func(m *simMsg) bool { return m.id == id })
	return st.msgs[i]
}

func (s *sim) startWorker() {
	p := &simProc{name: fmt.Sprintf("worker-%d", len(s.workers)+1)}
	s.workers = append(s.workers, p)
	s.in(0, p, func() { s.poll(p) })
}

// poll claims what p has room for. What the store gives to a process that dies before it knows stays leased.
func (s *sim) poll(p *simProc) {
	if s.idle() {
		return
	}
	since := s.now
	if room := 4 - p.inHand; room > 0 {
		s.in(s.upTo(time.Millisecond), p, func() {
			for _, e := range s.store.claim(s.store.clock(s.now), room) {
				e.Since = since
				p.inHand++
				s.in(s.upTo(2*time.Millisecond), p, func() { s.handle(p, s.record(p.name, e)) })
			}
		})
	}
	s.in(2*time.Millisecond+s.upTo(5*time.Millisecond), p, func() { s.poll(p) })
}

// handle runs a message and says what shall become of it.
func (s *sim) handle(p *simProc, c history.Event) {
	m := s.store.find(c.Message)
	v := history.Event{Kind: history.Verdict, Message: c.Message, Token: c.Token}
	switch n := s.IntN(100); {
	case c.Crashes >= simCrashes || n < 3:
		v.Outcome = history.Failed
	case n < 6:
		v.Outcome = history.Released
	case n < 10:
		v.Outcome, v.After = history.Snoozed, s.upTo(50*time.Millisecond)
	case n < 30 && c.Attempt <= simRetries:
		v.Outcome, v.After = history.Retried, 25*time.Millisecond
	case n < 30:
		v.Outcome = history.Failed
	default:
		v.Outcome, v.InTx = history.Completed, m.inTx
	}
	if c.Crashes < simCrashes && v.Outcome != history.Released {
		s.record(p.name, history.Event{Kind: history.Start, Message: c.Message, Token: c.Token, InTx: m.inTx})
	}
	takes := s.upTo(20 * time.Millisecond)
	if s.chance(5) {
		takes += simLease
		for at := simLease / 3; at < takes; at += simLease / 3 {
			s.in(at, p, func() { s.renew(p, m, c.Token) })
		}
	}
	s.in(takes, p, func() {
		s.op(p, v, func(answer *history.Event) {
			answer.Phase = s.store.settle(m, v, s.store.clock(s.now))
		}, func(answer history.Event) {
			p.inHand--
			if answer.Phase == history.OK && v.Outcome == history.Failed && s.chance(30) {
				s.in(s.upTo(20*time.Millisecond), p, func() { s.replay(p, m) })
			}
			if v.InTx && answer.Phase == history.OK { // the worker is told, too
				s.record(p.name, history.Event{Kind: history.Verdict, Phase: history.OK, Token: v.Token, Outcome: v.Outcome, InTx: true})
			}
		})
	})
}

func (s *sim) renew(p *simProc, m *simMsg, token string) {
	s.op(p, history.Event{Kind: history.Renew, Token: token}, func(answer *history.Event) {
		now := s.store.clock(s.now)
		if m.token != token || m.leaseEnd <= now {
			answer.Phase = history.Lost
			return
		}
		m.leaseEnd = now + int64(simLease)
		answer.Phase, answer.LeaseEnd = history.OK, m.leaseEnd
	}, func(history.Event) {})
}

func (s *sim) replay(p *simProc, m *simMsg) {
	s.op(p, history.Event{Kind: history.Replay, Message: m.id}, func(answer *history.Event) {
		if m.state != history.Failed {
			answer.Phase = history.Refused
			return
		}
		if s.idle() { // the others have gone home
			s.in(0, nil, s.startWorker)
		}
		m.state, m.due, m.attempt, m.crashes = history.Live, s.store.clock(s.now), 1, 0
		answer.Phase = history.OK
	}, func(history.Event) {})
}
