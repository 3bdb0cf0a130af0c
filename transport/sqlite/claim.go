package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/outlast"
	"github.com/symphony-messenger/symphony/monitor"
)

// How long an idle Receive waits before it looks again for what other processes have sent: it begins
// with the first and doubles to the second. What this process sends wakes it at once.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 100 * time.Millisecond
)

// firstLook is how long the first look of a Receive may go on when its ctx has ended: the patience of a caller, which may be short, is for
// the wait after it.
const firstLook = 2 * time.Second

// Receive implements [symphony.Transport].
func (t *Transport) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	look, cancel := outlast.Context(ctx, firstLook)
	defer cancel()
	t.meet(look, c)
	poll := firstPoll
	for {
		t.writeMinutes(look, false)
		woken := t.wake.Wait() // before the look: what comes after it is not missed
		some, next, err := t.peek(look, c)
		if err != nil {
			return nil, t.fail("receive from", err)
		}
		if some {
			ds, err := t.exchange(look, nil, c)
			if len(ds) > 0 || err != nil {
				return ds, err
			}
		}
		look = ctx
		timer := time.NewTimer(min(poll, max(next, 0)))
		select {
		case <-woken:
			poll = firstPoll
		case <-timer.C:
			poll = min(2*poll, lastPoll)
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
	}
}

// peek reads, without the write lock, whether a claim may find something, and else how long nothing
// that is known now can change that.
func (t *Transport) peek(ctx context.Context, c symphony.Claim) (some bool, next time.Duration, err error) {
	if err := t.check(ctx); err != nil {
		return false, 0, err
	}
	names := make([]string, len(c.Queues))
	for i, q := range c.Queues {
		names[i] = q.Name
	}
	var due, lease sql.NullInt64
	if err := t.db.QueryRowContext(ctx, sqlPeek, array(names)).Scan(&some, &due, &lease); err != nil {
		if ctx.Err() != nil {
			return false, 0, ctx.Err()
		}
		return false, 0, explain(err)
	}
	now := t.clock()
	next = lastPoll
	for _, at := range []sql.NullInt64{due, lease} {
		if at.Valid {
			some = some || at.Int64 <= now
			next = min(next, milliseconds(at.Int64-now))
		}
	}
	return some, next, nil
}

// Exchange implements [symphony.Exchanger].
func (t *Transport) Exchange(ctx context.Context, verdicts []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	return t.exchange(ctx, verdicts, c)
}

func (t *Transport) exchange(ctx context.Context, verdicts []symphony.Verdict, c symphony.Claim) ([]symphony.Delivery, error) {
	var ds []symphony.Delivery
	var refused error
	err := t.write(ctx, func(q *queries) (err error) {
		if refused, err = t.settle(q, verdicts, t.clock()); err != nil {
			return err
		}
		ds, err = t.claim(q, c)
		return err
	})
	if err != nil {
		return nil, t.fail("claim from", err)
	}
	t.tally.Add(verdicts, refused)
	t.writeMinutes(ctx, false)
	return ds, refused
}

// claim takes back what dead workers held, makes due what has become due, and leases what it finds.
func (t *Transport) claim(q *queries, c symphony.Claim) ([]symphony.Delivery, error) {
	begun := time.Now() // the lease counts from a later moment
	now := t.clock()
	if err := t.sweep(q, now); err != nil {
		return nil, err
	}
	// Not all at once, should a million have become due: the next look goes on.
	for range 5 {
		if n, err := promoteSome(q, now, promoteRows); err != nil {
			return nil, err
		} else if n < promoteRows {
			break
		}
	}
	p, err := t.pausing(q)
	if err != nil {
		return nil, err
	}
	cl := claiming{q: q, now: now, except: slices.Concat(c.Except, p.types)}
	if cl.worker, err = note(q, c, now); err != nil {
		return nil, err
	}
	for _, queue := range c.Queues {
		if slices.Contains(p.queues, queue.Name) {
			continue
		}
		if err := p.setAside(q, queue.Name); err != nil {
			return nil, err
		}
		most := c.Max - len(cl.got)
		if queue.Max > 0 {
			most = min(most, queue.Max)
		}
		if err := cl.from(t, queue.Name, most); err != nil {
			return nil, err
		}
	}
	for i := range cl.got {
		cl.got[i].Until = begun.Add(c.Lease)
		if !cl.got[i].Deadline.IsZero() {
			cl.got[i].Deadline = begun.Add(time.Until(cl.got[i].Deadline)) // onto the monotonic clock
		}
	}
	return cl.got, nil
}

// A claiming is one claim on its way through the queues.
type claiming struct {
	q      *queries
	worker int64
	now    int64
	except []string
	got    []symphony.Delivery
}

// from claims up to most messages of a queue. Those whose time is over end here, and others are
// claimed in their place.
func (cl *claiming) from(t *Transport, queue string, most int) error {
	for most > 0 {
		found, late, err := cl.some(queue, most)
		if err != nil {
			return err
		}
		for _, ended := range late {
			// At the time of the claim: a later one would make messages due that this claim then finds too early.
			if _, err := t.settle(cl.q, []symphony.Verdict{{Token: ended, Outcome: symphony.Expired}}, cl.now); err != nil {
				return err
			}
		}
		if found < most || len(late) == 0 {
			return nil
		}
		most = len(late)
	}
	return nil
}

// some runs the claim statement once. found counts what it leased, late names what of it has expired.
func (cl *claiming) some(queue string, most int) (found int, late []symphony.Token, err error) {
	query, args := sqlClaim, []any{cl.worker, cl.now, queue, most}
	if len(cl.except) > 0 {
		query, args = sqlClaimExcept, append(args, array(cl.except))
	}
	var seqs []leased
	err = cl.q.each(query, args, func(rows *sql.Rows) error {
		l, err := scanLeased(rows)
		if err != nil {
			return err
		}
		found++
		cl.q.move(queue, l.env.Type, monitor.Pending, monitor.Processing)
		if l.expires.Valid && l.expires.Int64 <= cl.now {
			late = append(late, l.token())
			return nil
		}
		seqs = append(seqs, l)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	// RETURNING answers in the order of the rows, not in that of the claim.
	slices.SortFunc(seqs, func(a, b leased) int {
		return cmp.Or(cmp.Compare(b.env.Priority, a.env.Priority), cmp.Compare(a.seq, b.seq))
	})
	cl.got = slices.Grow(cl.got, len(seqs))
	for i := range seqs {
		cl.got = append(cl.got, seqs[i].delivery(cl.now))
	}
	return found, late, nil
}

// A leased is a row that was claimed.
type leased struct {
	seq       int64
	env       *symphony.Envelope
	due       int64
	expires   sql.NullInt64
	unhandled int
}

func scanLeased(rows *sql.Rows) (leased, error) {
	env := new(symphony.Envelope)
	l := leased{env: env}
	var id []byte
	var created int64
	var retries int
	var most sql.NullInt64
	var key, group, headers, tags sql.NullString
	err := rows.Scan(&l.seq, &id, &env.Queue, &env.Type, &env.Subscriber, &env.Priority, &created, &l.due, &l.expires, &retries, &most, &env.Crashes,
		&l.unhandled, &env.Fence, &key, &group, &headers, &tags, &env.Version, &env.ContentType, &env.Body)
	if err != nil {
		return l, err
	}
	copy(env.ID[:], id)
	env.CreatedAt = time.UnixMilli(created).UTC()
	env.Attempt = retries + 1
	env.Key, env.Group = key.String, group.String
	if most.Valid {
		n := int(most.Int64)
		env.MaxRetries = &n
	}
	if err := decode(headers, &env.Headers); err != nil {
		return l, fmt.Errorf("headers of message %s: %w", env.ID, err)
	}
	if err := decode(tags, &env.Tags); err != nil {
		return l, fmt.Errorf("tags of message %s: %w", env.ID, err)
	}
	return l, nil
}

func decode(text sql.NullString, into any) error {
	if !text.Valid {
		return nil
	}
	return json.Unmarshal([]byte(text.String), into)
}

func (l *leased) delivery(now int64) symphony.Delivery {
	d := symphony.Delivery{Envelope: l.env, Token: l.token(), DueAt: time.UnixMilli(l.due).UTC(), ClaimedAt: time.UnixMilli(now).UTC(), Unhandled: l.unhandled}
	if l.expires.Valid {
		d.Deadline = time.Now().Add(milliseconds(l.expires.Int64 - now))
		l.env.Expires = milliseconds(l.expires.Int64 - l.env.CreatedAt.UnixMilli())
	}
	return d
}

// milliseconds is n milliseconds, or the longest duration there is.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(n, int64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// A token is seq.fence: it fits one lease of one message, for seq is never used again and fence grows
// with every lease.
func (l *leased) token() symphony.Token {
	b := strconv.AppendInt(make([]byte, 0, 24), l.seq, 10)
	return symphony.Token(strconv.AppendInt(append(b, '.'), l.env.Fence, 10))
}

func parseToken(token symphony.Token) (seq, fence int64, ok bool) {
	a, b, ok := strings.Cut(string(token), ".")
	seq, err1 := strconv.ParseInt(a, 10, 64)
	fence, err2 := strconv.ParseInt(b, 10, 64)
	return seq, fence, ok && err1 == nil && err2 == nil
}
