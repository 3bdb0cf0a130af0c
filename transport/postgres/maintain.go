package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony/monitor"
)

// maintainRows bounds one statement of Maintain.
const maintainRows = 1000

// Maintain implements [symphony.Maintainer]: it makes the partitions of the history that come next, drops those that are older than the
// retention, and keys whose windows are over, and ends messages that expired while they waited.
func (t *Transport) Maintain(ctx context.Context) (more bool, err error) {
	if err := t.check(ctx); err != nil {
		return false, t.fail("maintain", ended(ctx, err))
	}
	for _, chore := range []struct {
		what, text string
		args       []any
	}{
		{"drop old history", t.sql.partition, []any{t.options.Retention.Milliseconds()}},
		{"drop old figures", t.sql.dropMinutes, []any{maintainRows, monitor.KeepMinutes.Milliseconds()}},
		{"drop old bulks", t.sql.dropBulks, []any{maintainRows, monitor.KeepBulks.Milliseconds()}},
		{"drop old keys", t.sql.dropKeys, []any{maintainRows}},
		{"end what expired", t.sql.expire, []any{maintainRows, string(t.options.History), t.options.Name}},
	} {
		n, err := t.chore(ctx, chore.text, chore.args...)
		if err != nil {
			return false, t.fail(fmt.Sprintf("maintain (%s)", chore.what), ended(ctx, err))
		}
		more = more || n == maintainRows
	}
	if begun := time.Now(); t.strays.due(begun, 0) {
		if _, err := t.chore(ctx, t.sql.sweep, string(t.options.History), t.options.Name, true); err != nil {
			return false, t.fail("maintain (take back what nobody has)", ended(ctx, err))
		}
		t.strays.took(time.Since(begun))
	}
	if err := t.retry(ctx, t.fold); err != nil {
		return false, t.fail("maintain (add up counters)", ended(ctx, err))
	}
	return more, nil
}

// chore runs a statement that answers a number.
func (t *Transport) chore(ctx context.Context, text string, args ...any) (n int, err error) {
	err = t.retry(ctx, func(ctx context.Context) error { return t.upkeep.QueryRow(ctx, text, args...).Scan(&n) })
	return n, err
}
