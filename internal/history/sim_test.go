package history_test

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// A sim runs a correct queue with its clients, workers and faults in virtual time, and records what a real
// run would: calls before, answers after, nothing of a process that died in between.
type sim struct {
	*rand.Rand
	now     int64
	todo    actions
	ordinal int
	store   simStore
	seq     map[string]int64
	events  []history.Event
	workers []*simProc
	sending int // how many messages are still to be sent
	sent    int
	last    int64 // no faults after
}

// A simProc is a process: dead ones do nothing more, paused ones do it later.
type simProc struct {
	name   string
	dead   bool
	paused int64 // until
	inHand int
}

type action struct {
	at      int64
	ordinal int
	proc    *simProc // nil: happens whatever becomes of the processes
	do      func()
}

type actions []action

func (a actions) Len() int { return len(a) }
func (a actions) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(a[i].at, a[j].at), cmp.Compare(a[i].ordinal, a[j].ordinal)) < 0
}
func (a actions) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *actions) Push(x any)   { *a = append(*a, x.(action)) }
func (a *actions) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

const (
	simLease   = time.Second
	simRetries = 3
	simCrashes = 5
	simDrain   = time.Minute
)

// simulate returns the history of n sendings and the state of the store after the drain.
func simulate(seed uint64, n int) ([]history.Event, history.Final) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()
	s := &sim{
		Rand: rand.New(rand.NewPCG(seed, 1)), now: start, seq: map[string]int64{}, sending: n,
		store: simStore{keys: map[string]*simMsg{}, until: map[string]int64{}, effects: map[string]int{}},
	}
	s.last = start + int64(n)*4*ms
	s.startApp(1)
	for range 3 {
		s.startWorker()
	}
	s.in(50*time.Millisecond, nil, s.fault)
	for len(s.todo) > 0 {
		a := heap.Pop(&s.todo).(action)
		s.now = max(s.now, a.at)
		switch {
		case a.proc == nil || (!a.proc.dead && a.proc.paused <= s.now):
			a.do()
		case !a.proc.dead:
			a.at = a.proc.paused
			heap.Push(&s.todo, a)
		}
		if s.now > start+int64(time.Hour) {
			panic(fmt.Sprintf("seed %d: the simulated queue does not drain", seed))
		}
	}
	return s.events, s.store.final()
}

func (s *sim) in(d time.Duration, p *simProc, do func()) {
	s.ordinal++
	heap.Push(&s.todo, action{s.now + int64(d), s.ordinal, p, do})
}

// upTo is a random duration.
func (s *sim) upTo(d time.Duration) time.Duration { return time.Duration(s.Int64N(int64(d))) }

func (s *sim) chance(percent int) bool { return s.IntN(100) < percent }

func (s *sim) record(p string, e history.Event) history.Event {
	s.seq[p]++
	e.Proc, e.Seq, e.Wall = p, s.seq[p], s.now
	s.events = append(s.events, e)
	return e
}

// op asks the store for something: apply is what the store does and how the answer looks. A request that is on its
// way may arrive although its sender has died.
func (s *sim) op(p *simProc, e history.Event, apply func(answer *history.Event), then func(history.Event)) {
	e.Phase = history.Call
	call := s.record(p.name, e)
	sender := p
	if s.chance(70) {
		sender = nil
	}
	s.in(s.upTo(2*time.Millisecond), sender, func() {
		answer := history.Event{Kind: e.Kind, Op: call.Seq}
		apply(&answer)
		s.in(s.upTo(2*time.Millisecond), p, func() {
			if answer.Phase == history.OK && s.chance(1) {
				answer = history.Event{Kind: e.Kind, Op: call.Seq, Phase: history.Unknown}
			}
			s.record(p.name, answer)
			then(answer)
		})
	})
}

// fault does something bad to somebody, now and then.
func (s *sim) fault() {
	if s.now > s.last {
		return
	}
	p := s.workers[s.IntN(len(s.workers))]
	switch {
	case p.dead:
	case s.chance(60):
		s.record("harness", history.Event{Kind: history.Injected, Fault: history.Kill, Target: p.name})
		p.dead = true
		s.in(20*time.Millisecond, nil, func() {
			s.record("harness", history.Event{Kind: history.Injected, Fault: history.Restart, Target: p.name})
			s.startWorker()
		})
	default:
		s.record("harness", history.Event{Kind: history.Injected, Fault: history.Stop, Target: p.name})
		p.paused = s.now + int64(s.upTo(2*simLease))
	}
	s.in(s.upTo(200*time.Millisecond), nil, s.fault)
}

// startApp starts the process that sends. It is killed once in a while, and followed by another one.
func (s *sim) startApp(n int) {
	p := &simProc{name: fmt.Sprintf("app-%d", n)}
	lives := s.upTo(2 * time.Second)
	s.in(lives, nil, func() {
		if s.sending > 0 {
			p.dead = true
			s.record("harness", history.Event{Kind: history.Injected, Fault: history.Kill, Target: p.name})
			s.startApp(n + 1)
		}
	})
	s.in(0, p, func() { s.sendNext(p) })
}

func (s *sim) sendNext(p *simProc) {
	if s.sending <= 0 {
		return
	}
	s.sending--
	if s.chance(10) {
		s.sendTx(p)
	} else {
		s.send(p, "", func(m *simMsg) {
			if m != nil && s.chance(3) {
				s.in(s.upTo(20*time.Millisecond), p, func() { s.cancel(p, m) })
			}
		})
	}
	s.in(s.upTo(8*time.Millisecond), p, func() { s.sendNext(p) })
}

func (s *sim) send(p *simProc, tx string, then func(*simMsg)) {
	s.sent++
	m := &simMsg{id: fmt.Sprintf("m%05d", s.sent), sum: history.Sum(fmt.Append(nil, s.sent)), attempt: 1, state: history.Live}
	e := history.Event{Kind: history.Enqueue, Message: m.id, Type: "mail", Queue: "default", SHA256: m.sum, Tx: tx}
	switch kind := s.IntN(10); {
	case kind < 2:
		e.Delay = s.upTo(100 * time.Millisecond)
	case kind == 2:
		e.Due = s.now + int64(s.upTo(100*time.Millisecond))
	case kind < 6:
		m.group = fmt.Sprintf("g%d", s.IntN(6))
	case kind == 6 && tx == "":
		e.Key = fmt.Sprintf("k%d", s.IntN(8))
		e.Window = []time.Duration{0, 500 * time.Millisecond, time.Hour}[s.IntN(3)]
		m.key = e.Key
	}
	e.Group = m.group
	m.inTx = s.chance(30)
	s.op(p, e, func(answer *history.Event) {
		now := s.store.clock(s.now)
		m.due = max(now+int64(e.Delay.Round(time.Millisecond))+ms, (e.Due/ms+1)*ms)
		if holder := s.store.add(m, now, e.Window, tx != ""); holder != nil {
			answer.Phase, answer.Holder = history.Duplicate, holder.id
			m = nil
			return
		}
		answer.Phase = history.OK
	}, func(answer history.Event) {
		if answer.Phase != history.OK {
			then(nil)
			return
		}
		then(m)
	})
}

// sendTx sends two messages in a transaction, and commits it or not.
func (s *sim) sendTx(p *simProc) {
	name := fmt.Sprintf("tx%d", s.sent)
	var pending []*simMsg
	end := func() {
		if s.chance(30) {
			s.record(p.name, history.Event{Kind: history.Tx, Phase: history.Rollback, Tx: name})
			return
		}
		s.op(p, history.Event{Kind: history.Tx, Tx: name}, func(answer *history.Event) {
			for _, m := range pending {
				m.visible = true
			}
			answer.Phase = history.OK
		}, func(history.Event) {})
	}
	next := func(m *simMsg) {
		if m == nil {
			return // an unknown outcome inside a transaction: nothing is committed
		}
		pending = append(pending, m)
		if len(pending) == 2 {
			end()
		}
	}
	s.send(p, name, next)
	s.send(p, name, next)
}

func (s *sim) cancel(p *simProc, m *simMsg) {
	s.op(p, history.Event{Kind: history.Cancel, Message: m.id}, func(answer *history.Event) {
		answer.Phase = history.OK
		switch {
		case m.state != history.Live:
			answer.Phase = history.Refused
		case m.token == "":
			m.state, m.holds, answer.Outcome = history.Cancelled, false, history.Cancelled
		default:
			m.marked = true
		}
	}, func(history.Event) {})
}

// final is the state of the store after the drain.
func (st *simStore) final() history.Final {
	retries := simRetries
	f := history.Final{
		IDs:     map[history.Outcome][]string{},
		Effects: st.effects,
		Rules: history.Rules{
			MaxRetries: &retries, MaxCrashes: simCrashes, DrainWithin: simDrain,
			Backoff: func(int) time.Duration { return time.Millisecond },
		},
	}
	for _, o := range []history.Outcome{history.Completed, history.Failed, history.Cancelled, history.Expired, history.Live} {
		f.IDs[o] = []string{}
	}
	for _, m := range st.msgs {
		if m.visible {
			f.IDs[m.state] = append(f.IDs[m.state], m.id)
		}
	}
	f.Counters = map[history.Outcome]int{}
	for o, ids := range f.IDs {
		f.Counters[o] = len(ids)
		f.Counters[history.Accepted] += len(ids)
	}
	return f
}

// idle reports whether nothing is left to do, ever.
func (s *sim) idle() bool {
	return s.sending <= 0 && !slices.ContainsFunc(s.store.msgs, func(m *simMsg) bool { return m.visible && m.state == history.Live }) &&
		s.now > s.last
}
