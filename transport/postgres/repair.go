package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/search"
	"github.com/symphony-messenger/symphony/monitor"
)

// Failed implements [monitor.DeadLetters].
func (t *Transport) Failed(ctx context.Context, f monitor.Filter) (page monitor.Page, err error) {
	err = t.read(ctx, func(ctx context.Context, ex executor) (err error) {
		page, err = search.Letters(&letters{t, ctx, ex, &f}, &f)
		return err
	})
	if err != nil {
		return monitor.Page{}, t.fail("list dead letters of", ended(ctx, err))
	}
	return page, nil
}

// A letters is a [search.LetterStore] for one call.
type letters struct {
	t      *Transport
	ctx    context.Context
	ex     executor
	filter *monitor.Filter
}

func (l *letters) Portion(below int64, most int) (p search.Portion[int64], err error) {
	var ids any
	f := l.filter
	if len(f.IDs) > 0 {
		ids = raw(f.IDs)
	}
	args := []any{
		below, search.Rows, ids, most, null(f.Type), null(f.Queue), null(string(f.Reason)), null(f.Class), null(f.Fingerprint), moment(f.Since), moment(f.Until),
	}
	err = l.ex.query(l.ctx, l.t.sql.letters, args, func(scan scanner) error {
		var last, seq *int64
		var id *[16]byte
		if err := scan(&p.Read, &last, &seq, &id); err != nil || last == nil {
			return err
		}
		if p.Last = *last; seq != nil {
			p.Hits = append(p.Hits, search.Hit[int64]{Key: *seq, ID: *id, Place: search.Failed})
		}
		return nil
	})
	return p, err
}

func (l *letters) Records(_ search.Place, ids []symphony.ID) ([]monitor.Record, error) {
	return records(l.ctx, l.ex, l.t.sql.recordDead, []any{raw(ids)})
}

func raw(ids []symphony.ID) [][16]byte {
	all := make([][16]byte, len(ids))
	for i, id := range ids {
		all[i] = id
	}
	return all
}

// RetryFailed implements [monitor.DeadLetters].
func (t *Transport) RetryFailed(ctx context.Context, ids []symphony.ID) ([]error, error) {
	answers, err := t.repair(ctx, ids, t.revive)
	if err != nil {
		return nil, t.fail("retry dead letters of", ended(ctx, err))
	}
	t.floors.back()
	t.stir()
	return answers, nil
}

// revive puts dead letters back that are locked. refused are those whose keys have passed to others.
func (t *Transport) revive(ctx context.Context, ex executor, ids []symphony.ID) (done map[symphony.ID]bool, refused map[symphony.ID]error, err error) {
	refused = make(map[symphony.ID]error)
	// Who has taken a key a moment ago is seen by the next statement only.
	for unseen := true; unseen; {
		unseen = false
		err = ex.query(ctx, t.sql.keepKeys, []any{raw(ids)}, func(scan scanner) error {
			var id symphony.ID
			var holder *string
			var key string
			if err := scan((*[16]byte)(&id), &key, &holder); err != nil || holder == nil {
				unseen = err == nil
				return err
			}
			by, err := symphony.ParseID(*holder)
			refused[id] = &monitor.KeyTakenError{Key: key, Holder: by}
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	var free []symphony.ID
	for _, id := range ids {
		if refused[id] == nil {
			free = append(free, id)
		}
	}
	done, err = t.idsOf(ctx, ex, t.sql.revive, raw(free))
	return done, refused, err
}

// DiscardFailed implements [monitor.DeadLetters].
func (t *Transport) DiscardFailed(ctx context.Context, ids []symphony.ID) ([]error, error) {
	answers, err := t.repair(ctx, ids, func(ctx context.Context, ex executor, ids []symphony.ID) (done map[symphony.ID]bool, refused map[symphony.ID]error, err error) {
		done, err = t.idsOf(ctx, ex, t.sql.discard, raw(ids))
		return done, nil, err
	})
	if err != nil {
		return nil, t.fail("discard dead letters of", ended(ctx, err))
	}
	return answers, nil
}

// repair does something with dead letters in one transaction and gives each its answer. An id that is named twice is found once.
func (t *Transport) repair(ctx context.Context, ids []symphony.ID,
	do func(ctx context.Context, ex executor, ids []symphony.ID) (done map[symphony.ID]bool, refused map[symphony.ID]error, err error),
) ([]error, error) {
	if err := t.check(ctx); err != nil {
		return nil, err
	}
	var done map[symphony.ID]bool
	var refused map[symphony.ID]error
	err := t.retry(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, t.work, func(tx pgx.Tx) (err error) {
			// Only what is found now is touched: what becomes a dead letter meanwhile is not locked in order.
			there, err := t.idsOf(ctx, native{tx}, t.sql.lockFailed, raw(ids))
			if err != nil {
				return err
			}
			done, refused, err = do(ctx, native{tx}, slices.Collect(maps.Keys(there)))
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	answers := make([]error, len(ids))
	for i, id := range ids {
		switch {
		case refused[id] != nil:
			answers[i] = fmt.Errorf("dead letter %s: %w", id, refused[id])
		case !done[id]:
			answers[i] = fmt.Errorf("dead letter %s: %w", id, monitor.ErrNotFound)
		}
		delete(done, id)
	}
	return answers, nil
}

// Cancel implements [monitor.Canceller].
func (t *Transport) Cancel(ctx context.Context, id symphony.ID) (monitor.Record, error) {
	if err := t.check(ctx); err != nil {
		return monitor.Record{}, t.fail(fmt.Sprintf("cancel message %s in", id), ended(ctx, err))
	}
	var answer *string
	err := t.retry(ctx, func(ctx context.Context) error {
		return t.work.QueryRow(ctx, t.sql.cancel, [16]byte(id), string(t.options.History), t.options.Name).Scan(&answer)
	})
	if err == nil && answer == nil {
		err = monitor.ErrNotFound
	}
	if err != nil {
		return monitor.Record{}, t.fail(fmt.Sprintf("cancel message %s in", id), ended(ctx, err))
	}
	t.stir() // its group may go on
	return t.Find(ctx, id)
}
