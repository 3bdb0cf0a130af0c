package history_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

const (
	ms    = int64(time.Millisecond)
	lease = 30 * time.Second
)

// A script writes a history by hand. Every event is 10 ms later than the one before; a claim is made 2 ms
// before it is recorded.
type script struct {
	now    int64
	seq    map[string]int64
	events []history.Event
	final  history.Final
}

func newScript() *script {
	three := 3
	return &script{
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano(),
		seq: map[string]int64{},
		final: history.Final{
			IDs: map[history.Outcome][]string{
				history.Completed: {}, history.Failed: {}, history.Cancelled: {}, history.Expired: {}, history.Live: {},
			},
			Rules: history.Rules{MaxRetries: &three, MaxCrashes: 5},
		},
	}
}

func (s *script) add(proc string, e history.Event) history.Event {
	s.now += 10 * ms
	s.seq[proc]++
	e.Proc, e.Seq, e.Wall = proc, s.seq[proc], s.now
	s.events = append(s.events, e)
	return e
}

func (s *script) wait(d time.Duration) { s.now += int64(d) }

type mod func(*history.Event)

// ask writes the call of an operation, and its answer unless phase is empty.
func (s *script) ask(proc string, e history.Event, phase history.Phase, mods ...mod) {
	e.Phase = history.Call
	for _, m := range mods {
		m(&e)
	}
	call := s.add(proc, e)
	s.answer(call, phase)
}

func (s *script) answer(call history.Event, phase history.Phase, mods ...mod) {
	if phase == "" {
		return
	}
	e := history.Event{Kind: call.Kind, Phase: phase, Op: call.Seq, Message: call.Message}
	for _, m := range mods {
		m(&e)
	}
	s.add(call.Proc, e)
}

func (s *script) send(id string, phase history.Phase, mods ...mod) {
	s.ask("app", history.Event{
		Kind: history.Enqueue, Message: id, Type: "mail", Queue: "default", SHA256: history.Sum([]byte(id)),
	}, phase, mods...)
}

func (s *script) sent(mods ...mod) { s.send("a", history.OK, mods...) }

func (s *script) duplicate(holder string, mods ...mod) {
	s.ask("app", history.Event{Kind: history.Enqueue, Type: "mail", Key: "k"}, "", mods...)
	s.answer(s.events[len(s.events)-1], history.Duplicate, func(e *history.Event) { e.Holder = holder })
}

func token(id string, fence int64) string { return fmt.Sprintf("%s/%d", id, fence) }

func (s *script) claim(id string, fence int64, mods ...mod) {
	at := s.now + 8*ms
	e := history.Event{
		Kind: history.Claim, Message: id, Token: token(id, fence), Fence: fence, Attempt: 1,
		Store: at, Since: at, LeaseEnd: at + int64(lease), SHA256: history.Sum([]byte(id)),
	}
	for _, m := range mods {
		m(&e)
	}
	s.add(fmt.Sprintf("w%d", fence), e)
}

func (s *script) start(id string, fence int64, mods ...mod) {
	e := history.Event{Kind: history.Start, Message: id, Token: token(id, fence)}
	for _, m := range mods {
		m(&e)
	}
	s.add(fmt.Sprintf("w%d", fence), e)
}

// by names the holder of a lease.
type by struct {
	id    string
	fence int64
}

func (s *script) verdict(b by, o history.Outcome, phase history.Phase, mods ...mod) {
	s.ask(fmt.Sprintf("w%d", b.fence), history.Event{
		Kind: history.Verdict, Message: b.id, Token: token(b.id, b.fence), Outcome: o,
	}, phase, mods...)
}

// done claims and completes.
func (s *script) done(id string, fence int64, mods ...mod) {
	s.claim(id, fence, mods...)
	s.start(id, fence)
	s.verdict(by{id, fence}, history.Completed, history.OK)
	s.end(history.Completed, id)
}

func (s *script) end(o history.Outcome, ids ...string) {
	s.final.IDs[o] = append(s.final.IDs[o], ids...)
}

func (s *script) cancel(id string, phase history.Phase, o history.Outcome) {
	s.ask("app", history.Event{Kind: history.Cancel, Message: id}, "")
	s.answer(s.events[len(s.events)-1], phase, func(e *history.Event) { e.Outcome = o })
}

func (s *script) replay(id string, phase history.Phase) {
	s.ask("app", history.Event{Kind: history.Replay, Message: id}, phase)
}

func (s *script) tx(name string, phase history.Phase) {
	s.ask("app", history.Event{Kind: history.Tx, Tx: name}, phase)
}

func (s *script) fault(f history.Fault, target string) {
	s.add("harness", history.Event{Kind: history.Injected, Fault: f, Target: target})
}

func (s *script) check() history.Report { return history.Check(s.events, s.final) }

func attempt(n int) mod           { return func(e *history.Event) { e.Attempt = n } }
func crashes(n int) mod           { return func(e *history.Event) { e.Crashes = n } }
func after(d time.Duration) mod   { return func(e *history.Event) { e.After = d } }
func delay(d time.Duration) mod   { return func(e *history.Event) { e.Delay = d } }
func group(g string) mod          { return func(e *history.Event) { e.Group = g } }
func inTx(e *history.Event)       { e.InTx = true }
func tx(name string) mod          { return func(e *history.Event) { e.Tx = name } }
func expires(d time.Duration) mod { return func(e *history.Event) { e.Expires = d } }
func window(d time.Duration) mod  { return func(e *history.Event) { e.Key, e.Window = "k", d } }
func noID(e *history.Event)       { e.Message = "" }

// noStore makes a claim one of a store that does not tell its time.
func noStore(e *history.Event) { e.Store = 0 }

// broken lists the invariants that a report says are violated, each once.
func broken(r history.Report) []history.Invariant {
	var list []history.Invariant
	for _, v := range r.Violations {
		list = append(list, v.Invariant)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
