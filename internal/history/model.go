package history

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

const (
	never = math.MaxInt64 // later than any time in a history
	// grain is how coarse a store's clock may be: times of the two clocks are compared with that much doubt.
	grain = int64(time.Millisecond)
)

// A span says that something took place at some moment from lo to hi.
type span struct{ lo, hi int64 }

// An op is a call with its answer, or one of them alone.
type op struct {
	call *Event // nil: nobody recorded that it was asked for
	ans  *Event // nil: never answered, or answered Unknown
	span
}

// asked is the event that has the details.
func (o *op) asked() *Event {
	if o.call != nil {
		return o.call
	}
	return o.ans
}

func (o *op) phase() Phase {
	if o.ans == nil {
		return Unknown
	}
	return o.ans.Phase
}

// outcome is what was asked for; the answer to a cancellation says what it did.
func (o *op) outcome() Outcome {
	if o.ans != nil && o.ans.Outcome != "" {
		return o.ans.Outcome
	}
	return o.asked().Outcome
}

// store is the store's clock when it did this, 0 if unknown.
func (o *op) store() int64 {
	if o.ans == nil {
		return 0
	}
	return o.ans.Store
}

func (o *op) events() []*Event { return []*Event{o.call, o.ans} }

// after reports whether o certainly took effect after cl was made.
func (o *op) after(cl *claim) bool {
	return cl.hi < o.lo || (cl.Store != 0 && o.store() != 0 && cl.Store < o.store())
}

// A claim is one delivery and what was asked for with its token.
type claim struct {
	*Event
	span           // by the machine's clock
	leaseEnd int64 // by the store's clock, with renewals
	verdicts []*op
	renewals []*op // accepted ones only
	started  *Event
	stale    bool // its accepted verdict came after a later claim
}

// verdict returns the first verdict on the claim with that phase.
func (c *claim) verdict(p Phase) *op {
	for _, v := range c.verdicts {
		if v.phase() == p {
			return v
		}
	}
	return nil
}

// A job is everything known of one message.
type job struct {
	id       string
	enqueues []*op
	claims   []*claim // by fence
	tokens   map[string]*claim
	replays  []*op
	cancels  []*op
	dead     []*Event
	states   []Outcome // where the store has it at the end
	inTx     bool      // its handler completes in its transaction

	stored   storing
	sent     *op   // the enqueue that stored it, or may have
	visible  span  // when it can be claimed at the earliest: sent, or its transaction's commit
	finals   []*op // accepted final verdicts
	end      span  // of its first life
	replayed bool
	named    bool // a duplicate was answered with its id
	bad      bool // a phantom: reported once, not looked at further
}

// exists reports whether the store had the message at some time.
func (j *job) exists() bool { return j.stored == isStored || j.named || j.appears() }

func (j *job) appears() bool { return len(j.claims) > 0 || len(j.states) > 0 }

// A checker holds a history by message.
type checker struct {
	final   Final
	jobs    map[string]*job
	order   []*job // as they first appear: the report must not depend on the order of a map
	txs     map[txKey]*tx
	owners  map[string]*job // by token
	unnamed []*op           // unanswered enqueues without an id
	dups    []*op
	orphans []*Event // verdicts, renewals and starts whose token nobody claimed
	faults  []*Event
	exact   bool // every claim knows the store's time
	report  Report
}

type txKey struct{ proc, tx string }

// A tx is a transaction with enqueues.
type tx struct {
	end  *op // nil: its commit was never asked for
	jobs []*job
}

type callKey struct {
	proc string
	seq  int64
}

func newChecker(events []Event, final Final) *checker {
	c := &checker{
		final: final, jobs: map[string]*job{}, txs: map[txKey]*tx{},
		owners: map[string]*job{}, exact: true,
	}
	c.addClaims(events)
	for _, o := range joinCalls(events) {
		if o.phase() == Unknown {
			c.report.Unknown++
		}
		c.addOp(o)
	}
	for i := range events {
		c.addSingle(&events[i])
	}
	for _, state := range slices.Sorted(maps.Keys(final.IDs)) {
		for _, id := range final.IDs[state] {
			j := c.get(id)
			j.states = append(j.states, state)
		}
	}
	c.adoptUnnamed()
	return c
}

// joinCalls pairs calls with their answers. A second answer to one call is an operation of its own.
func joinCalls(events []Event) []*op {
	open := map[callKey]*op{}
	var ops []*op
	for i := range events {
		if e := &events[i]; e.Phase == Call {
			o := &op{call: e, span: span{e.Wall, never}}
			open[callKey{e.Proc, e.Seq}] = o
			ops = append(ops, o)
		}
	}
	for i := range events {
		e := &events[i]
		if e.Phase == Call || e.Phase == "" {
			continue
		}
		o := open[callKey{e.Proc, e.Op}]
		if o == nil || e.Op == 0 || o.call.Kind != e.Kind {
			o = &op{}
			ops = append(ops, o)
		} else if o.ans != nil {
			o = &op{call: o.call, span: o.span}
			ops = append(ops, o)
		}
		if o.call == nil || e.Phase != Unknown {
			o.ans, o.hi = e, e.Wall
		}
		if e.Phase == Unknown {
			o.hi = never
		}
	}
	return ops
}

func (c *checker) get(id string) *job {
	j := c.jobs[id]
	if j == nil {
		j = &job{id: id, tokens: map[string]*claim{}}
		c.jobs[id] = j
		c.order = append(c.order, j)
	}
	return j
}

func (c *checker) addClaims(events []Event) {
	for i := range events {
		e := &events[i]
		if e.Kind != Claim {
			continue
		}
		cl := &claim{Event: e, span: span{e.Since, e.Wall}, leaseEnd: e.LeaseEnd}
		if e.Store == 0 {
			c.exact = false
		} else if !c.final.Rules.SkewedClock {
			cl.lo = max(cl.lo, e.Store-grain)
			cl.hi = min(cl.hi, e.Store+grain)
		}
		j := c.get(e.Message)
		j.claims = append(j.claims, cl)
		j.tokens[e.Token] = cl
		c.owners[e.Token] = j
	}
	for _, j := range c.order {
		slices.SortStableFunc(j.claims, func(a, b *claim) int {
			return cmp.Or(cmp.Compare(a.Fence, b.Fence), cmp.Compare(a.Store, b.Store), cmp.Compare(a.Wall, b.Wall))
		})
	}
}

// named returns the message that o is about: the call may not have known it.
func (c *checker) named(o *op) *job {
	for _, e := range o.events() {
		if e != nil && e.Message != "" {
			return c.get(e.Message)
		}
	}
	return c.owners[o.asked().Token]
}

func (c *checker) addOp(o *op) {
	asked := o.asked()
	if asked.Kind == Tx {
		c.tx(asked).end = o
		return
	}
	if o.phase() == Duplicate {
		c.dups = append(c.dups, o)
	}
	j := c.named(o)
	switch {
	case j == nil && asked.Kind == Enqueue:
		if o.phase() == Unknown {
			c.unnamed = append(c.unnamed, o)
		}
	case j == nil:
		c.orphans = append(c.orphans, asked)
	case asked.Kind == Enqueue:
		j.enqueues = append(j.enqueues, o)
		if asked.Tx != "" {
			t := c.tx(asked)
			t.jobs = append(t.jobs, j)
		}
	case asked.Kind == Replay:
		j.replays = append(j.replays, o)
	case asked.Kind == Cancel:
		j.cancels = append(j.cancels, o)
	case j.tokens[asked.Token] == nil:
		c.orphans = append(c.orphans, asked)
	case asked.Kind == Renew:
		j.tokens[asked.Token].addRenewal(o)
	case asked.Kind == Verdict:
		j.inTx = j.inTx || asked.InTx
		j.tokens[asked.Token].addVerdict(o)
	}
}

func (c *checker) tx(e *Event) *tx {
	key := txKey{e.Proc, e.Tx}
	t := c.txs[key]
	if t == nil {
		t = &tx{}
		c.txs[key] = t
	}
	return t
}

func (cl *claim) addRenewal(o *op) {
	if o.phase() == OK {
		cl.renewals = append(cl.renewals, o)
		cl.leaseEnd = max(cl.leaseEnd, o.ans.LeaseEnd)
	}
}

func (cl *claim) addVerdict(o *op) {
	o.lo = max(o.lo, cl.lo)
	if o.asked().InTx {
		for i, v := range cl.verdicts {
			if v.asked().InTx && (v.call == nil || o.call == nil) {
				cl.verdicts[i] = mergeInTx(v, o)
				return
			}
		}
	}
	cl.verdicts = append(cl.verdicts, o)
}

// mergeInTx makes one verdict of what the handler and then its worker recorded: it took effect at some
// time after the handler's call, and either of the two answers settles what became of it.
func mergeInTx(a, b *op) *op {
	handler, worker := a, b
	if handler.call == nil {
		handler, worker = b, a
	}
	m := *handler
	if m.phase() == Unknown || (m.phase() != OK && worker.phase() == OK) {
		m.ans, m.hi = worker.ans, worker.hi
	}
	return &m
}

func (c *checker) addSingle(e *Event) {
	switch e.Kind {
	case Start, Effect:
		j := c.get(e.Message)
		j.inTx = j.inTx || e.InTx
		if cl := j.tokens[e.Token]; cl == nil {
			c.orphans = append(c.orphans, e)
		} else if e.Kind == Start {
			cl.started = e
		}
	case Dead:
		j := c.get(e.Message)
		j.dead = append(j.dead, e)
	case Injected:
		c.faults = append(c.faults, e)
	}
}

// adoptUnnamed gives messages that nobody is known to have sent to calls that were never answered and did
// not know their id: by hash if it was claimed, by key if a duplicate names it, else any.
func (c *checker) adoptUnnamed() {
	if len(c.unnamed) == 0 {
		return
	}
	open := map[string][]*op{}
	add := func(index string, o *op) { open[index] = append(open[index], o) }
	for _, o := range c.unnamed {
		add("sum:"+o.call.SHA256, o)
		add(keyOf(o.call), o)
		add("any", o)
	}
	used := map[*op]bool{}
	take := func(j *job, index string) {
		for len(open[index]) > 0 && len(j.enqueues) == 0 {
			o := open[index][0]
			open[index] = open[index][1:]
			if !used[o] {
				used[o] = true
				j.enqueues = []*op{o}
			}
		}
	}
	for _, j := range c.order {
		if len(j.claims) > 0 {
			take(j, "sum:"+j.claims[0].SHA256)
		}
	}
	for _, d := range c.dups {
		if j := c.jobs[d.ans.Holder]; j == nil || len(j.claims) == 0 {
			take(c.get(d.ans.Holder), keyOf(d.asked()))
		}
	}
	for _, j := range c.order {
		if len(j.claims) == 0 && len(j.states) > 0 {
			take(j, "any")
		}
	}
}

// keyOf is the idempotency key of an enqueue in its scope.
func keyOf(e *Event) string { return "key:" + e.Type + "\x00" + e.Subscriber + "\x00" + e.Key }
