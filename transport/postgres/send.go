package postgres

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// Send implements [symphony.Sender]. A single envelope may share its transaction with those of concurrent calls. When the connection is
// lost while the server may have stored the envelopes, they are sent again, a few times: those that are there are not
// stored twice, as long as they live or history is kept. If that stays unknown, or ctx ends meanwhile, the error matches
// symphony.ErrOutcomeUnknown.
func (t *Transport) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	if len(envs) == 0 {
		return nil, nil
	}
	var rs []symphony.Receipt
	var err error
	if len(envs) == 1 {
		rs = make([]symphony.Receipt, 1)
		if envs[0].Key == "" {
			rs[0], err = t.sends.Send(ctx, envs[0])
		} else {
			rs[0], err = t.keyed.Send(ctx, envs[0])
		}
	} else {
		rs, err = t.store(ctx, envs)
	}
	if err != nil {
		return nil, t.fail("send to", err)
	}
	return rs, nil
}

// store writes envs in a transaction of their own, and tells the workers.
func (t *Transport) store(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	if err := t.check(ctx); err != nil {
		return nil, err
	}
	var rs []symphony.Receipt
	unknown := false // an earlier try may have stored them
	for try := 1; ; try++ {
		err := within(ctx, func(ctx context.Context) (err error) {
			if unknown {
				rs, err = t.insertAgain(ctx, envs)
			} else {
				rs, err = t.insert(ctx, native{t.sending}, envs)
			}
			return err
		})
		if err == nil {
			t.joined(ctx, envs)
			t.announce(envs)
			return rs, nil
		}
		unknown = unknown || unanswered(err)
		t.moved(err)
		if !passes(err) || try == sendTries || ctx.Err() != nil || sleep.For(ctx, sendPause(try)) != nil {
			if unknown {
				return nil, fmt.Errorf("%w: %w", symphony.ErrOutcomeUnknown, ended(ctx, err))
			}
			return nil, ended(ctx, err)
		}
	}
}

// A restart of the server takes a second or two.
const sendTries = 6

func sendPause(try int) time.Duration {
	return 20*time.Millisecond<<try + rand.N(20*time.Millisecond<<try)
}

// insert stores envs by one statement on a connection of ours, one copy for each subscription.
func (t *Transport) insert(ctx context.Context, ex executor, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	subs := t.subs.known()
	for {
		if subs == nil {
			var err error
			if subs, err = t.subs.read(ctx, ex, t.sql.subscriptions); err != nil {
				return nil, notSent{err}
			}
		}
		copies, fans := subs.fanOut(envs)
		c, err := newColumns(copies)
		if err != nil {
			return nil, err
		}
		if c.special && replaces(envs) {
			return t.acceptAll(ctx, envs)
		}
		if c.special {
			return t.accept(ctx, ex, envs)
		}
		var number int64
		err = ex.query(ctx, t.sql.insert, c.plain(subs.number), func(scan scanner) error { return scan(&number) })
		if isStored(err) {
			return t.accept(ctx, ex, envs)
		}
		if err != nil {
			return nil, err
		}
		if number == subs.number {
			return receipts(copies, fans, nil, nil), nil
		}
		subs = nil
	}
}

// accept stores envs of which some have keys, times or groups or are there already, and any in a transaction of the caller's: its function has
// the settings that the statement needs, above all a search path.
func (t *Transport) accept(ctx context.Context, ex executor, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	subs := t.subs.known()
	for {
		if subs == nil {
			var err error
			if subs, err = t.subs.read(ctx, ex, t.sql.subscriptions); err != nil {
				return nil, notSent{err}
			}
		}
		copies, fans := subs.fanOut(envs)
		taken, err := t.acceptCopies(ctx, ex, copies, subs.number)
		if err != nil {
			return nil, err
		}
		if taken == nil { // nothing was stored
			subs = nil
			continue
		}
		replaced, err := t.replace(ctx, ex, copies, taken)
		if err != nil {
			return nil, err
		}
		return receipts(copies, fans, taken, replaced), nil
	}
}

// acceptCopies returns who has the keys of those that were not stored, by their numbers; nil when nothing was stored because the
// subscriptions have another number by now. nil stands for any.
func (t *Transport) acceptCopies(ctx context.Context, ex executor, copies []*symphony.Envelope, number any) (map[int]symphony.ID, error) {
	c, err := newColumns(copies)
	if err != nil {
		return nil, err
	}
	taken := make(map[int]symphony.ID)
	args := c.all(0)
	args[0] = number
	err = ex.query(ctx, t.sql.accept, args, func(scan scanner) error {
		var n int
		var holder *string
		if err := scan(&n, &holder); err != nil || holder == nil {
			taken = nil
			return err
		}
		id, err := symphony.ParseID(*holder)
		taken[n-1] = id
		return err
	})
	return taken, err
}

// insertAgain is insert after a try of which nobody knows what it did. What it stored is found among the live messages or, if it has
// been handled meanwhile, where messages end: in this order, which is theirs, nothing is missed.
func (t *Transport) insertAgain(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	subs, err := t.subs.read(ctx, native{t.sending}, t.sql.subscriptions)
	if err != nil {
		return nil, err
	}
	copies, _ := subs.fanOut(envs)
	ids := make([][16]byte, len(copies))
	for i, c := range copies {
		ids[i] = c.ID
	}
	there := make(map[symphony.ID]bool)
	for _, text := range []string{t.sql.there, t.sql.ended} {
		some, err := t.idsOf(ctx, native{t.sending}, text, ids)
		if err != nil {
			return nil, err
		}
		maps.Copy(there, some)
	}
	var rest []*symphony.Envelope
	rs := make([]symphony.Receipt, len(envs))
	var at []int
	for i, env := range envs {
		if rs[i].ID = env.ID; anyStored(subs, env, there) {
			continue
		}
		rest, at = append(rest, env), append(at, i)
	}
	if len(rest) == 0 {
		return rs, nil
	}
	some, err := t.insert(ctx, native{t.sending}, rest)
	for n, r := range some {
		rs[at[n]] = r
	}
	return rs, err
}

// anyStored reports whether a copy of env was stored: they all were, together.
func anyStored(subs *subscribed, env *symphony.Envelope, there map[symphony.ID]bool) bool {
	if there[env.ID] {
		return true
	}
	for _, s := range subs.byType[env.Type] {
		if there[env.ID.For(s.Subscriber)] {
			return true
		}
	}
	return false
}

// idsOf returns the ids that a statement answers for ids.
func (t *Transport) idsOf(ctx context.Context, ex executor, text string, ids [][16]byte) (map[symphony.ID]bool, error) {
	found := make(map[symphony.ID]bool)
	err := ex.query(ctx, text, []any{ids}, func(scan scanner) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		id, err := symphony.ParseID(text)
		found[id] = true
		return err
	})
	return found, err
}
