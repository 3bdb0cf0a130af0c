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
	claims int
	tokens []symphony.Token // all that ever were
}

// modelWalks uses one store for all walks, each with a queue of its own: opening takes longer than walking.
func modelWalks(k *kit) {
	walks := 0
	rapid.Check(k.t, func(rt *rapid.T) {
		walks++
		w := &walk{
			kit: newKit(k.t, rt, k.Store), rt: rt, model: newModel(),
			queue: fmt.Sprintf("walk-%d", walks),
		}
		steps := []func(){w.sendSome, w.sendSome, w.claimSome, w.claimSome, w.settleSome, w.settleSome, w.settleSome, w.renewSome, w.advance, w.cancelOne}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			steps[rapid.IntRange(0, len(steps)-1).Draw(rt, "step")]()
			w.compare()
		}
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
		env.Group = rapid.SampledFrom([]string{"", "g", "h"}).Draw(w.rt, "group")
		if key := rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(w.rt, "key"); key != "" {
			env.Key, env.Window = w.queue+key, w.minutes("window")
		}
		envs = append(envs, env)
		want = append(want, w.model.accept(env))
	}
	equal(w.kit, "the receipts", w.send(envs...), want)
}

// claimSome names a worker anew for each claim, so that each lease ends on its own.
func (w *walk) claimSome() {
	w.claims++
	c := claimOf(fmt.Sprintf("%s-%d", w.queue, w.claims), rapid.IntRange(1, 4).Draw(w.rt, "most"), symphony.QueueClaim{Name: w.queue})
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

// compare requires that the store is what the model is.
func (w *walk) compare() {
	for i, msg := range w.model.messages {
		r := w.find(msg.env)
		if r.Status != msg.status || r.LockedBy != msg.worker && msg.live() {
			w.Fatalf("message %d is %s in the hands of %q, want %v in those of %q", i+1, r.Status, r.LockedBy, msg, msg.worker)
		}
	}
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
	if want := w.model.counts(w.queue); !maps.Equal(got, want) {
		w.Fatalf("the counts are %v, want %v", got, want)
	}
}
