package transporttest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A Loss is the message whose lease is to be lost while its handler completes it.
type Loss struct {
	N int `json:"n"`
}

// MessageType implements [symphony.Message].
func (Loss) MessageType() string { return "suite.Loss" }

// A TxWay is one of the ways in which a handler completes its message in a transaction of its own.
type TxWay struct {
	Name string
	// Open returns a new store; handle registers the handler of [Loss], which writes an effect and completes the message in one
	// transaction, and effects counts what is committed of that.
	Open func(tb testing.TB) (s Store, handle func(b *symphony.Bus), effects func() int)
}

// Losses takes n leases away from a worker for each way of giving a verdict, half of them while the verdict is on its way: no verdict is
// accepted after its lease was lost, none is lost that was accepted, and whoever has the message then can settle it.
func Losses(t *testing.T, open func(tb testing.TB) Store, n int, ways ...TxWay) {
	t.Run("verdicts", func(t *testing.T) {
		t.Parallel()
		l := losses{kit: newKit(t, t, open(t))}
		for l.lost < n {
			l.round()
		}
		t.Logf("%d leases lost, %d verdicts came in time, %d too late, none was accepted then", l.lost, l.inTime, l.refusals)
	})
	for _, way := range ways {
		t.Run("in a transaction/"+way.Name, func(t *testing.T) {
			t.Parallel()
			s, handle, effects := way.Open(t)
			l := losses{kit: newKit(t, t, s), handle: handle}
			for l.lost < n {
				l.txRound()
			}
			if got := effects(); got != l.inTime {
				t.Errorf("%d effects of %d completions in time", got, l.inTime)
			}
			t.Logf("%d leases lost, %d completions came in time, %d too late, none was accepted then", l.lost, l.inTime, l.refusals)
		})
	}
}

type losses struct {
	*kit
	handle                 func(b *symphony.Bus)
	lost, inTime, refusals int
}

const lossesAtOnce = 40

// inFlight is a verdict after which nobody else can claim the message soon.
func inFlight(i int, d symphony.Delivery) symphony.Verdict {
	kinds := outcomes()
	v := verdict(d, kinds[i%len(kinds)])
	switch v.Outcome {
	case symphony.Released: // at once to anybody: what becomes of it then says nothing
		v.Outcome = symphony.Snoozed
		fallthrough
	case symphony.Retried, symphony.Snoozed, symphony.Unhandled:
		v.After = 1000 * time.Hour
	}
	return v
}

// round lets one worker lose what it has to another.
func (l *losses) round() {
	ds := l.leased("slow", func() []*symphony.Envelope {
		envs := make([]*symphony.Envelope, lossesAtOnce)
		for i := range envs {
			envs[i] = message()
		}
		return envs
	})
	racing, late := ds[:len(ds)/2], ds[len(ds)/2:]
	vs := make([]symphony.Verdict, len(racing))
	for i, d := range racing {
		vs[i] = inFlight(i+l.lost, d)
	}
	var err error
	var answered sync.WaitGroup
	answered.Go(func() { err = l.Transport.Settle(l.ctx, vs) })
	for range l.lost % 4 { // a store in memory answers at once
		runtime.Gosched()
	}
	l.lapse()
	taken := l.take2(nil, late)
	answered.Wait()
	refused, _ := errors.AsType[*symphony.LostError](err)
	if err != nil && refused == nil {
		l.Fatalf("Settle while leases end: %v", err)
	}
	for i, d := range racing {
		if refused != nil && slices.Contains(refused.Tokens, d.Token) {
			late = append(late, d)
			l.refusals++
			continue
		}
		l.inTime++
		if _, both := taken[d.Envelope.ID]; both {
			l.Fatalf("a verdict, %s, was accepted though somebody else has the message", vs[i].Outcome)
		}
		if want := stays(vs[i].Outcome); l.status(d.Envelope, want).Fence != 1 {
			l.Fatalf("a message that is %s was delivered again", want)
		}
	}
	l.stale(late, l.take2(taken, late))
}

// stays is what a message is after a verdict of inFlight.
func stays(o symphony.Outcome) monitor.Status {
	switch o {
	case symphony.Retried, symphony.Snoozed, symphony.Unhandled:
		return monitor.Scheduled
	}
	return becomes(o)
}

// leased sends messages and claims them.
func (l *losses) leased(worker string, envs func() []*symphony.Envelope) []symphony.Delivery {
	l.Helper()
	all := envs()
	l.send(all...)
	ds := l.receive(claim(worker, len(all)), len(all))
	for _, d := range ds {
		if d.Envelope.Fence != 1 {
			l.Fatalf("a message of an earlier round came, delivery %d", d.Envelope.Fence)
		}
	}
	return ds
}

// take2 claims for another worker until it has all of want.
func (l *losses) take2(taken map[symphony.ID]symphony.Delivery, want []symphony.Delivery) map[symphony.ID]symphony.Delivery {
	l.Helper()
	if taken == nil {
		taken = make(map[symphony.ID]symphony.Delivery)
	}
	for {
		missing := slices.IndexFunc(want, func(d symphony.Delivery) bool { _, has := taken[d.Envelope.ID]; return !has })
		if missing < 0 {
			return taken
		}
		for _, d := range l.receive(claim("quick", 1), 1) {
			taken[d.Envelope.ID] = d
		}
	}
}

// stale gives every kind of verdict on what is lost, and asks for more time.
func (l *losses) stale(late []symphony.Delivery, taken map[symphony.ID]symphony.Delivery) {
	l.Helper()
	tokens := make([]symphony.Token, len(late))
	for i, d := range late {
		tokens[i] = d.Token
	}
	for _, o := range outcomes() {
		vs := make([]symphony.Verdict, len(late))
		for i, d := range late {
			vs[i] = verdict(d, o)
		}
		l.refused(vs, tokens...)
		l.refusals += len(vs)
	}
	renewal, err := l.Transport.Renew(l.ctx, "slow", tokens)
	if err != nil || !sameSet(renewal.Lost, tokens) {
		l.Fatalf("Renew of %d lost leases: %v, names %d", len(tokens), err, len(renewal.Lost))
	}
	l.settleTaken(late, taken)
}

// settleTaken shows that all the stale verdicts have changed nothing.
func (l *losses) settleTaken(late []symphony.Delivery, taken map[symphony.ID]symphony.Delivery) {
	l.Helper()
	var vs []symphony.Verdict
	for _, d := range taken {
		vs = append(vs, done(d))
	}
	l.settle(vs...)
	for _, d := range late {
		r := l.status(d.Envelope, monitor.Completed)
		if r.Fence != 2 || r.CrashCount != 1 || r.RetryCount+r.SnoozeCount > 0 || r.LastError != "" {
			l.Fatalf("after stale verdicts: %+v, want one crash in two deliveries and nothing else", r)
		}
	}
	l.lost += len(late)
}

// txRound lets handlers complete their messages in transactions, some while their leases end, the others after that.
func (l *losses) txRound() {
	ds := l.leased("slow", func() []*symphony.Envelope {
		envs := make([]*symphony.Envelope, lossesAtOnce/4)
		for i := range envs {
			envs[i] = message(func(e *symphony.Envelope) { e.Type, e.Body = Loss{}.MessageType(), fmt.Appendf(nil, `{"n":%d}`, i) })
		}
		return envs
	})
	racing, late := ds[:len(ds)/2], ds[len(ds)/2:]
	errs := make([]error, len(racing))
	var answered sync.WaitGroup
	for i, d := range racing {
		answered.Go(func() { errs[i] = l.completes(d) })
	}
	l.lapse()
	taken := l.take2(nil, late)
	answered.Wait()
	for i, d := range racing {
		switch {
		case errors.Is(errs[i], symphony.ErrLeaseLost):
			late = append(late, d)
			l.refusals++
		case errs[i] != nil:
			l.Fatalf("complete while the lease ends: %v", errs[i])
		default:
			l.inTime++
			if _, both := taken[d.Envelope.ID]; both {
				l.Fatalf("a completion was accepted though somebody else has the message")
			}
			l.status(d.Envelope, monitor.Completed)
		}
	}
	taken = l.take2(taken, late)
	for _, d := range late {
		if err := l.completes(d); !errors.Is(err, symphony.ErrLeaseLost) {
			l.Fatalf("complete after the lease was lost: %v, want ErrLeaseLost", err)
		}
		l.refusals++
	}
	l.settleTaken(late, taken)
}

// completes hands d to the handler, and returns what that answers.
func (l *losses) completes(d symphony.Delivery) (answer error) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	bus := &symphony.Bus{Logger: slog.New(slog.DiscardHandler), Handling: []symphony.Middleware{func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			answer = next(ctx, env)
			return answer
		}
	}}}
	l.handle(bus)
	copied := *d.Envelope // which the bus decodes into
	d.Envelope = &copied
	if err := (&symphony.Worker{Bus: bus, Transport: &single{d: d, settled: cancel}}).Run(ctx); err != nil {
		return err
	}
	return answer
}
