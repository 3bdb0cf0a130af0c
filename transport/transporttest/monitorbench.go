package transporttest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// monitorLimit is what a call of package monitor may take, however many messages there are.
const monitorLimit = 200 * time.Millisecond

// BenchmarkMonitor measures what people look and repair with on a store that has many messages: 200,000, or as many as the
// environment variable SYMPHONY_BENCH_ROWS says. Half of them wait, a tenth is scheduled, three tenths are history and a tenth dead letters. A call
// that takes more than 200 ms on average is an error.
//
//	SYMPHONY_BENCH_ROWS=5000000 go test -run - -bench Monitor -benchtime 5x -timeout 2h ./transport/postgres
func BenchmarkMonitor(b *testing.B, open func(tb testing.TB) Store) {
	rows := 200_000
	if text := os.Getenv("SYMPHONY_BENCH_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 10_000 {
			b.Fatalf("SYMPHONY_BENCH_ROWS=%s: must be a number, 10000 or more", text)
		}
		rows = n
	}
	k := &kit{reporter: b, Store: open(b), ctx: b.Context()}
	begun := time.Now()
	needle := k.load(rows)
	b.Logf("%d messages in %v", rows, time.Since(begun).Round(time.Second))
	for _, c := range k.monitorCalls(needle) {
		b.Run(c.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n++
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
			}
			if each := b.Elapsed() / time.Duration(max(n, 1)); each > monitorLimit {
				b.Errorf("%v, at most %v are allowed", each.Round(time.Millisecond), monitorLimit)
			}
		})
	}
}

// load fills a store and returns the oldest message, which is the only one with the tag needle, and a dead letter.
func (k *kit) load(rows int) *symphony.Envelope {
	const batch = 2000
	needle := message(on("ended"), func(e *symphony.Envelope) { e.Tags, e.Body = []string{"needle"}, []byte(`{"needle": true}`) })
	k.send(needle)
	k.settle(verdict(k.receive(claimOf("w", 1, symphony.QueueClaim{Name: "ended"}), 1)[0], symphony.Failed))
	filler := fmt.Sprintf(`{"user": {"id": %%d, "name": "somebody"}, "text": %q}`, make([]byte, 40))
	for from := 0; from < rows; from += batch {
		envs := make([]*symphony.Envelope, batch)
		for i := range envs {
			n := from + i
			envs[i] = message(on(fmt.Sprint("queue", n%7)), func(e *symphony.Envelope) {
				e.Type, e.Tags = fmt.Sprint("suite.Type", n%11), []string{"common"}
				e.Body = fmt.Appendf(nil, filler, n)
				e.Priority = 1 + n%10
				switch n % 10 {
				case 0:
					e.Delay = 24 * time.Hour
				case 1, 2, 3, 4:
					e.Queue = "ended"
				}
			})
		}
		k.send(envs...)
		for left := batch * 4 / 10; left > 0; {
			ds := k.receiveSome(claimOf("w", left, symphony.QueueClaim{Name: "ended"}))
			vs := make([]symphony.Verdict, len(ds))
			for i, d := range ds {
				vs[i] = done(d)
				if i%4 == 0 {
					vs[i] = verdict(d, symphony.Failed)
					vs[i].Failure = &symphony.Failure{Error: fmt.Sprintf("user %d not found", i), Class: fmt.Sprint("suite.Class", i%40)}
				}
				vs[i].Attempt, vs[i].Took = &d, time.Duration(i)*time.Millisecond
			}
			k.settle(vs...)
			left -= len(ds)
		}
	}
	return needle
}

// receiveSome claims once.
func (k *kit) receiveSome(c symphony.Claim) []symphony.Delivery {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.ctx, patience)
	defer cancel()
	ds, err := k.Transport.Receive(ctx, c)
	if err != nil {
		k.Fatalf("Receive of %s: %v", c.Worker, err)
	}
	return ds
}

type monitorCall struct {
	name string
	call func() error
}

func (k *kit) monitorCalls(needle *symphony.Envelope) (calls []monitorCall) {
	add := func(name string, call func() error) { calls = append(calls, monitorCall{name, call}) }
	if c, ok := symphony.As[monitor.Counter](k.Transport); ok {
		add("counts", func() error { _, err := c.Counts(k.ctx); return err })
	}
	if f, ok := symphony.As[monitor.Finder](k.Transport); ok {
		add("find", func() error { _, err := f.Find(k.ctx, needle.ID); return err })
	}
	if l, ok := symphony.As[monitor.Lister](k.Transport); ok {
		for _, s := range []struct {
			name   string
			search monitor.Search
		}{
			{"list", monitor.Search{}},
			{"list oldest", monitor.Search{Oldest: true}},
			{"list thousand", monitor.Search{Limit: 1000}},
			{"list queue", monitor.Search{Queue: "queue3", Statuses: []monitor.Status{monitor.Pending}}},
			{"list completed", monitor.Search{Statuses: []monitor.Status{monitor.Completed}}},
			{"search tag", monitor.Search{Tag: "none"}},
			{"search error", monitor.Search{Error: "no such thing"}},
			{"search dead letters", monitor.Search{Statuses: []monitor.Status{monitor.Failed}, Error: "no such thing"}},
			{"search bodies", monitor.Search{Body: monitor.BodyIs{Path: "user.id", Value: "none"}}},
			{"search since", monitor.Search{Since: time.Now().Add(-time.Minute), Tag: "none"}},
			{"conversation", monitor.Search{Conversation: needle.ID, Oldest: true}},
		} {
			add(s.name, func() error { _, err := l.Messages(k.ctx, s.search); return err })
		}
	}
	if d, ok := symphony.As[monitor.DeadLetters](k.Transport); ok {
		add("failed", func() error { _, err := d.Failed(k.ctx, monitor.Filter{}); return err })
	}
	if g, ok := symphony.As[monitor.Grouper](k.Transport); ok {
		add("failed groups", func() error { _, err := g.FailedGroups(k.ctx, monitor.Filter{}); return err })
	}
	if c, ok := symphony.As[monitor.Crew](k.Transport); ok {
		add("workers", func() error { _, err := c.Workers(k.ctx); return err })
	}
	if s, ok := symphony.As[monitor.Subscriptions](k.Transport); ok {
		add("subscribers", func() error { _, err := s.Subscribers(k.ctx); return err })
	}
	if f, ok := symphony.As[monitor.Figures](k.Transport); ok {
		add("minutes", func() error {
			_, err := f.Minutes(k.ctx, time.Now().Add(-24*time.Hour), time.Now().Add(time.Hour))
			return err
		})
	}
	if e, ok := symphony.As[monitor.Examiner](k.Transport); ok {
		add("examine", func() error {
			for _, c := range e.Examine(k.ctx) {
				if c.Err != nil {
					return c.Err
				}
			}
			return nil
		})
	}
	return append(calls, k.monitorChanges()...)
}

// monitorChanges come last: they change what the others look at.
func (k *kit) monitorChanges() (calls []monitorCall) {
	add := func(name string, call func() error) { calls = append(calls, monitorCall{name, call}) }
	l, searches := symphony.As[monitor.Lister](k.Transport)
	c, changes := symphony.As[monitor.Changer](k.Transport)
	d, retries := symphony.As[monitor.DeadLetters](k.Transport)
	some := func(status monitor.Status) (ids []symphony.ID, err error) {
		p, err := l.Messages(k.ctx, monitor.Search{Statuses: []monitor.Status{status}, Limit: 500})
		for _, r := range p.Records {
			ids = append(ids, r.ID)
		}
		return ids, err
	}
	// Each call includes the search for 500 messages, as one step of a bulk does.
	step := func(name string, status monitor.Status, do func(ids []symphony.ID) ([]error, error)) {
		add(name, func() error {
			ids, err := some(status)
			if err == nil {
				_, err = do(ids)
			}
			return err
		})
	}
	if searches && changes {
		step("priority of 500", monitor.Pending, func(ids []symphony.ID) ([]error, error) { return c.Prioritize(k.ctx, ids, 7) })
		step("reschedule 500", monitor.Scheduled, func(ids []symphony.ID) ([]error, error) {
			return c.Reschedule(k.ctx, ids, monitor.Due{Delay: 48 * time.Hour})
		})
		step("cancel 500", monitor.Scheduled, func(ids []symphony.ID) ([]error, error) { return c.CancelAll(k.ctx, ids) })
	}
	if searches && retries {
		step("retry 500", monitor.Failed, func(ids []symphony.ID) ([]error, error) { return d.RetryFailed(k.ctx, ids) })
		step("discard 500", monitor.Failed, func(ids []symphony.ID) ([]error, error) { return d.DiscardFailed(k.ctx, ids) })
	}
	if p, ok := symphony.As[monitor.Pauser](k.Transport); ok {
		for _, what := range []monitor.Pause{{Kind: monitor.PausedQueue, Name: "queue1"}, pausedType("suite.Type3")} {
			add("pause and resume "+string(what.Kind), func() error {
				if err := p.Pause(k.ctx, what); err != nil {
					return err
				}
				return p.Resume(k.ctx, what)
			})
		}
	}
	return calls
}
