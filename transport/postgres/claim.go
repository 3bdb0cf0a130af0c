package postgres

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/outlast"
)

// How long an idle Receive waits before it looks again: it begins with the first, also when it is told of something, and doubles to the
// second. The latter is what is promised for messages of which nobody tells.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// Receive implements [symphony.Transport].
func (t *Transport) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	first, cancel := outlast.Context(ctx, stopWithin)
	defer cancel()
	if err := t.check(first); err != nil {
		return nil, t.fail("receive from", ended(ctx, err))
	}
	t.service.start()
	t.meet(first, c)
	seen, poll := t.sight(c.Worker), firstPoll
	told := t.wake.Wait() // before anything is asked or read: what comes after it is not missed
	next, since := seen.first(c, briefly(ctx), t.stirs.Load())
	for {
		var ds []symphony.Delivery
		var err error
		switch next {
		case stepLook:
			ds, err = t.tryReceive(ctx, c)
		case stepClaim:
			ds, err = t.claimOnly(ctx, c)
		case stepWait:
			told = since
		}
		if err != nil {
			return nil, t.fail("receive from", ended(ctx, err))
		}
		if len(ds) > 0 {
			return ds, nil
		}
		wait := poll
		if c.Max > 0 {
			wait = min(wait, seen.quiet())
		}
		timer := time.NewTimer(wait)
		select {
		case <-told:
			told = t.wake.Wait()
			poll, next = firstPoll, seen.after(t.stirs.Load())
		case <-timer.C:
			told = t.wake.Wait()
			poll, next = min(2*poll, lastPoll), stepLook
		case <-t.closing:
			err = t.fail("receive from", errClosed)
		case <-ctx.Done():
		}
		timer.Stop()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if err := t.check(ctx); err != nil {
			return nil, t.fail("receive from", ended(ctx, err))
		}
	}
}

// briefly reports whether a call wants to know what there is now, and has no time to wait.
func briefly(ctx context.Context) bool {
	end, ends := ctx.Deadline()
	return ends && time.Until(end) < lookEvery
}

// claimOnly claims what is ready, without a look at what else there is to do.
func (t *Transport) claimOnly(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	if c.Max <= 0 {
		return nil, nil
	}
	ctx, cancel := outlast.Context(ctx, stopWithin)
	defer cancel()
	return t.claim(ctx, c)
}

// tryReceive looks, does what is to be done, and claims what there is. Statements that have been
// sent are not interrupted when ctx ends: the server would carry the claim out all the same, for a worker that does not know of it.
func (t *Transport) tryReceive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	if c.Max <= 0 {
		return nil, nil
	}
	ctx, cancel := outlast.Context(ctx, stopWithin)
	defer cancel()
	seen := t.sight(c.Worker)
	for {
		seen.looks(t.stirs.Load())
		var l look
		if err := t.retry(ctx, func(ctx context.Context) (err error) { l, err = t.look(ctx, c); return err }); err != nil {
			return nil, err
		}
		seen.saw(l)
		changed, err := t.chores(ctx, l)
		if err != nil && ctx.Err() == nil { // what is ready can be claimed all the same
			t.service.complain("make messages claimable", err)
		}
		if l.ready || changed {
			if ds, err := t.claim(ctx, c); err != nil || len(ds) > 0 {
				return ds, err
			}
		}
		if err != nil || !changed {
			return nil, nil
		}
	}
}

// A look is what look.sql answers.
type look struct {
	ready, woken bool
	due, dead    *int64 // milliseconds from now; nil: never
}

func (l *look) next() time.Duration {
	next := time.Duration(math.MaxInt64)
	for _, ms := range []*int64{l.due, l.dead} {
		if ms != nil && *ms > 0 { // else it was seen to, as far as nobody else has it
			next = min(next, time.Duration(*ms)*time.Millisecond)
		}
	}
	return next
}

func (t *Transport) look(ctx context.Context, c symphony.Claim) (l look, err error) {
	names, _ := queuesOf(c)
	err = t.work.QueryRow(ctx, t.sql.look, names, t.floors.of(names)).Scan(&l.ready, &l.woken, &l.due, &l.dead)
	return l, err
}

func queuesOf(c symphony.Claim) (names []string, mosts []int32) {
	names, mosts = make([]string, len(c.Queues)), make([]int32, len(c.Queues))
	for i, q := range c.Queues {
		names[i], mosts[i] = q.Name, int32(min(c.Max, maxClaim))
		if q.Max > 0 {
			mosts[i] = int32(min(c.Max, q.Max, maxClaim))
		}
	}
	return names, mosts
}

// maxClaim bounds one statement.
const maxClaim = 5000

// choreRows is how many messages one statement makes claimable.
const choreRows = 2000

// chores does what must be done before a claim finds all that there is: it takes back what dead workers held, makes due what has
// become due, and lets the next members of groups run. changed says that there may be more to claim than before.
func (t *Transport) chores(ctx context.Context, l look) (changed bool, err error) {
	if l.dead != nil && *l.dead <= 0 {
		n, err := t.number(ctx, t.sql.sweep, string(t.options.History), t.options.Name, false)
		if err != nil {
			return changed, fmt.Errorf("take back what dead workers held: %w", err)
		}
		changed = n > 0
	}
	if l.due != nil && *l.due <= 0 {
		n, err := t.promote(ctx)
		if err != nil {
			return changed, err
		}
		changed = changed || n > 0
	}
	if l.woken || changed {
		n, err := t.number(ctx, t.sql.advance, choreRows)
		if err != nil {
			return changed, fmt.Errorf("let groups go on: %w", err)
		}
		changed = changed || n > 0
	}
	if changed {
		t.floors.back()
		t.wake.Send() // others, who may wait for what is in other queues
	}
	return changed, nil
}

// promote makes everything claimable that has become due.
func (t *Transport) promote(ctx context.Context) (all int, err error) {
	for {
		n, err := t.number(ctx, t.sql.promote, choreRows)
		if all += n; err != nil {
			return all, fmt.Errorf("make messages due: %w", err)
		}
		if n < choreRows {
			return all, nil
		}
	}
}

// joined lets those of envs run that are the first of their groups. Workers do so too: that it fails is no failure of the send.
func (t *Transport) joined(ctx context.Context, envs []*symphony.Envelope) {
	if !slices.ContainsFunc(envs, func(env *symphony.Envelope) bool { return env.Group != "" }) {
		return
	}
	_, err := t.promote(ctx) // those of the group that have become due meanwhile were there first
	if err == nil {
		_, err = t.number(ctx, t.sql.advance, choreRows)
	}
	t.floors.back() // a member that waited was sent before others
	if err != nil {
		t.service.complain("let groups go on", err)
	}
}

// number returns the number that a statement answers.
func (t *Transport) number(ctx context.Context, text string, args ...any) (n int, err error) {
	err = t.retry(ctx, func(ctx context.Context) error { return t.work.QueryRow(ctx, text, args...).Scan(&n) })
	return n, err
}

// claim leases what is ready. What has expired while it waited ends here, and others are claimed in its place.
func (t *Transport) claim(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	cl, told := claiming{t: t, claim: c}, t.wake.Wait()
	var failed error
	for again := true; again && cl.claim.Max > 0 && len(cl.claim.Queues) > 0; {
		var late []symphony.Verdict
		if late, again, failed = cl.some(ctx); failed == nil && len(late) > 0 {
			if again, failed = true, t.Settle(ctx, late); failed != nil {
				t.sight(c.Worker).orphans.ask()
			}
		}
		if failed != nil {
			break
		}
	}
	if failed != nil || cl.missed(c) {
		told = nil
	}
	t.sight(c.Worker).took(c, len(cl.got), told)
	if failed != nil && len(cl.got) == 0 {
		return nil, failed
	}
	if failed != nil { // the leases that are had count more
		t.service.complain("claim messages", failed)
	}
	return deliveries(cl.got, c), nil
}

// deliveries puts rows in the order of the claim. The statement answers in the order of their places.
func deliveries(rows []*leased, c symphony.Claim) []symphony.Delivery {
	place := make(map[string]int, len(c.Queues))
	for i, q := range c.Queues {
		place[q.Name] = i
	}
	slices.SortFunc(rows, func(a, b *leased) int {
		return cmp.Or(cmp.Compare(place[a.env.Queue], place[b.env.Queue]), cmp.Compare(b.env.Priority, a.env.Priority), cmp.Compare(a.seq, b.seq))
	})
	ds := make([]symphony.Delivery, len(rows))
	for i, l := range rows {
		ds[i] = l.delivery(c.Lease)
	}
	return ds
}

// A claiming is one claim on its way.
type claiming struct {
	t     *Transport
	claim symphony.Claim // of what is still to be had
	got   []*leased
}

// missed reports whether there may have been more than was taken for c: it asked for no more, of all queues or of one.
func (cl *claiming) missed(c symphony.Claim) bool {
	return cl.claim.Max == 0 || len(cl.claim.Queues) < len(c.Queues) || len(cl.got) >= maxClaim
}

// some runs the claim statement once, and returns the verdicts on what of it has expired, and whether there may be more.
func (cl *claiming) some(ctx context.Context) (late []symphony.Verdict, again bool, err error) {
	t, c := cl.t, &cl.claim
	names, mosts := queuesOf(*c)
	except := c.Except
	if except == nil {
		except = []string{}
	}
	var rows []*leased
	most := min(c.Max, maxClaim)
	begun := time.Now()
	from := t.floors.climb(names, mosts, most)
	from.except = len(except) > 0
	err = t.retry(ctx, func(ctx context.Context) (err error) {
		defer func() { // it may have been carried out all the same
			if err != nil {
				t.sight(c.Worker).orphans.ask()
			}
		}()
		rows = rows[:0]
		begun = time.Now()
		token := rand.Int64()
		found, err := t.work.Query(ctx, t.sql.claim, c.Worker, token, max(c.Lease.Milliseconds(), 1), names, mosts, most, except, from.floors)
		if err != nil {
			return err
		}
		defer found.Close()
		row := newClaimedRow()
		for found.Next() {
			l, err := row.scan(found)
			if err != nil {
				return err
			}
			l.token, l.begun = token, begun
			rows = append(rows, l)
		}
		return found.Err()
	})
	if err != nil {
		t.floors.failed(from)
		return nil, false, err
	}
	again = t.floors.claimed(from, rows, time.Since(begun))
	cl.got = slices.Grow(cl.got, len(rows))
	took := make(map[string]int, len(names))
	for _, l := range rows {
		if l.expires != nil && !l.expires.After(l.locked) {
			late = append(late, symphony.Verdict{Token: l.name(), Outcome: symphony.Expired})
			continue
		}
		cl.got = append(cl.got, l)
		took[l.env.Queue]++
		c.Max--
	}
	c.Queues = withRoom(c.Queues, took)
	return late, again, nil
}

// withRoom returns the queues whose limits are not reached by what was taken of each.
func withRoom(queues []symphony.QueueClaim, took map[string]int) (rest []symphony.QueueClaim) {
	for _, q := range queues {
		if q.Max > 0 {
			if q.Max -= took[q.Name]; q.Max <= 0 {
				continue
			}
		}
		rest = append(rest, q)
	}
	return rest
}
