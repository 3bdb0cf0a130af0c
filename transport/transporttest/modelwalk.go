package transporttest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func modelTests() []test {
	return []test{{
		"model", "Whatever is sent, claimed, settled, renewed and cancelled in whatever order, a store is at every moment what the contract makes of it.",
		delays | priorities | keys | groups | exchange | cancels | counts | find | deadLetters, modelWalks,
	}}
}

// A walk is a random sequence of steps on one queue of a store and on its model.
type walk struct {
	*kit
	rt     *rapid.T
	model  *model
	queue  string
	prefix string            // of what no other walk may have
	before map[countOf]int64 // what other walks have left behind
	claims int
	tokens []symphony.Token // all that ever were
}

// modelWalks uses one store and one queue for all walks, because opening takes longer than walking.
// After a walk that has failed the queue is left to itself.
func modelWalks(k *kit) {
	walks, failures := 0, 0
	rapid.Check(k.t, func(rt *rapid.T) {
		walks++
		failures++
		w := &walk{
			kit: newKit(k.t, rt, k.Store), rt: rt, model: newModel(),
			queue: fmt.Sprintf("walk-%d", failures), prefix: fmt.Sprintf("%d-", walks),
		}
		w.before = w.counts()
		steps := map[string]func(){
			"send": w.sendSome, "claim": w.claimSome, "settle": w.settleSome,
			"renew": w.renewSome, "advance": w.advance, "cancel": w.cancelOne,
		}
		names := []string{"claim", "settle", "send", "claim", "settle", "advance", "cancel", "renew"} // the first ones are drawn more often
		w.sendSome()
		for range rapid.IntRange(10, 30).Draw(rt, "steps") {
			steps[rapid.SampledFrom(names).Draw(rt, "step")]()
			w.compareCounts()
		}
		w.compare()
		w.finish()
		w.compareCounts()
		failures--
	})
}

// minutes draws an odd number of minutes, or none.
func (w *walk) minutes(what string) time.Duration {
	return time.Duration(rapid.SampledFrom([]int{0, 0, 1, 3, 5}).Draw(w.rt, what)) * time.Minute
}

func (w *walk) sendSome() {
	var envs []*symphony.Envelope
	var want []symphony.Receipt
	for range rapid.IntRange(1, 4).Draw(w.rt, "messages") {
		env := message(on(w.queue))
		env.Priority = rapid.IntRange(4, 6).Draw(w.rt, "priority")
		env.Delay = w.minutes("delay")
		if group := rapid.SampledFrom([]string{"g", "", "h"}).Draw(w.rt, "group"); group != "" {
			env.Group = w.prefix + group
		}
		if key := rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(w.rt, "key"); key != "" {
			env.Key, env.Window = w.prefix+key, w.minutes("window")
		}
		envs = append(envs, env)
		want = append(want, w.model.accept(env))
	}
	equal(w.kit, "the receipts", w.send(envs...), want)
}

// claimSome names a worker anew for each claim, so that each lease ends on its own.
func (w *walk) claimSome() {
	w.claims++
	c := claimOf(fmt.Sprintf("%sworker-%d", w.prefix, w.claims), 5-rapid.IntRange(1, 4).Draw(w.rt, "most"), symphony.QueueClaim{Name: w.queue})
	c.Lease = time.Duration(rapid.SampledFrom([]int{1, 3, 5}).Draw(w.rt, "lease")) * time.Minute
	want := w.model.ready()
	want = want[:min(c.Max, len(want))]
	var envs []*symphony.Envelope
	for _, msg := range want {
		envs = append(envs, msg.env)
	}
	for i, d := range w.kit.exchange(c, envs) {
		msg := want[i]
		msg.tally.Fence++
		equal(w.kit, fmt.Sprintf("the tally of delivery %d", i+1), tallyOf(d), msg.tally)
		equal(w.kit, "the body", string(d.Envelope.Body), string(msg.env.Body))
		w.model.lease(msg, d, c)
		w.tokens = append(w.tokens, d.Token)
	}
}

func (w *walk) settleSome() {
	if len(w.tokens) == 0 {
		return
	}
	var verdicts []symphony.Verdict
	var lost []symphony.Token
	for range rapid.IntRange(1, 3).Draw(w.rt, "verdicts") {
		token := rapid.SampledFrom(w.tokens).Draw(w.rt, "token")
		if held := w.model.held(); len(held) > 0 && rapid.IntRange(0, 3).Draw(w.rt, "held") > 0 {
			token = rapid.SampledFrom(held).Draw(w.rt, "token")
		}
		o := rapid.SampledFrom(outcomes()[:7]).Draw(w.rt, "outcome")
		v := after(verdict(symphony.Delivery{Token: token}, o), w.minutes("after"))
		if o == symphony.Completed || o == symphony.Failed || o == symphony.Cancelled || o == symphony.Released {
			v.After = 0
		}
		verdicts = append(verdicts, v)
		if !w.model.settle(v) {
			lost = append(lost, token)
		}
	}
	if lost == nil {
		w.settle(verdicts...)
		return
	}
	w.refused(verdicts, lost...)
}

// renewSome is the heartbeat of a worker that knows all it holds, and perhaps more.
func (w *walk) renewSome() {
	names := slices.Sorted(maps.Keys(w.model.workers))
	if len(names) == 0 {
		return
	}
	worker := rapid.SampledFrom(names).Draw(w.rt, "worker")
	var held []symphony.Token
	for _, msg := range w.model.messages {
		if msg.worker == worker {
			held = append(held, msg.token)
		}
	}
	if len(held) == 0 {
		return // no promise: it has nothing that could be renewed
	}
	if more := rapid.SampledFrom(w.tokens).Draw(w.rt, "token"); !slices.Contains(held, more) {
		held = append(held, more)
	}
	w.renewTokens(worker, w.model.renew(worker, held), held...)
}

// advance moves both clocks, and has somebody look, so that the store notices.
func (w *walk) advance() {
	d := time.Duration(rapid.IntRange(1, 3).Draw(w.rt, "time")) * 2 * time.Minute
	w.Advance(d)
	w.model.advance(d)
	w.kit.exchange(claimOf("looks", 1, symphony.QueueClaim{Name: "nothing"}), nil)
}

func (w *walk) cancelOne() {
	if len(w.model.messages) == 0 {
		return
	}
	msg := rapid.SampledFrom(w.model.messages).Draw(w.rt, "message")
	if !msg.live() {
		if _, err := power1[monitor.Canceller](w.kit).Cancel(w.ctx, msg.env.ID); !errors.Is(err, monitor.ErrNotFound) {
			w.Fatalf("Cancel of a message that is %s: %v, want ErrNotFound", msg.status, err)
		}
		return
	}
	w.model.cancel(msg)
	w.cancel(msg.env, msg.status)
}

// finish ends all that lives.
func (w *walk) finish() {
	for _, msg := range w.model.messages {
		if !msg.live() {
			continue
		}
		token := msg.token
		w.model.cancel(msg)
		w.cancel(msg.env, msg.status)
		if token != "" {
			v := verdict(symphony.Delivery{Token: token}, symphony.Cancelled)
			w.model.settle(v)
			w.settle(v)
		}
	}
}

// compare requires that the store has each message as the model has it.
func (w *walk) compare() {
	for i, msg := range w.model.messages {
		r := w.find(msg.env)
		if r.Status != msg.status || r.LockedBy != msg.worker && msg.live() {
			w.Fatalf("message %d is %s in the hands of %q, want %v in those of %q", i+1, r.Status, r.LockedBy, msg, msg.worker)
		}
	}
}

func (w *walk) compareCounts() {
	got := w.counts()
	for c, n := range w.before {
		if got[c] -= n; got[c] == 0 {
			delete(got, c)
		}
	}
	if want := w.model.counts(w.queue); !maps.Equal(got, want) {
		w.Fatalf("the counts are %v, want %v", got, want)
	}
}

// counts are those of the queue, whoever has walked on it.
func (w *walk) counts() map[countOf]int64 {
	all, err := power1[monitor.Counter](w.kit).Counts(w.ctx)
	if err != nil {
		w.Fatalf("Counts: %v", err)
	}
	got := make(map[countOf]int64)
	for _, c := range all.Counts {
		if c.Queue == w.queue && c.N != 0 {
			got[countOf{c.Queue, c.Type, c.Status}] += c.N
		}
	}
	return got
}
