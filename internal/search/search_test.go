package search_test

import (
	"errors"
	"math"
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/search"
	"github.com/symphony-messenger/symphony/monitor"
)

func TestNumberCursor(t *testing.T) {
	for _, n := range []int64{0, 1, 31, 1<<63 - 1} {
		if got, err := search.Number(search.NumberCursor(n)); got != n || err != nil {
			t.Errorf("%v, %v: want %d", got, err, n)
		}
	}
	if got, err := search.Number(""); got != math.MaxInt64 || err != nil {
		t.Errorf("%v, %v for the first page", got, err)
	}
	for _, cursor := range []string{"x", "1f nonsense", "1fzz", "ffffffffffffffff"} {
		if _, err := search.Number(cursor); err == nil {
			t.Errorf("%q is taken for a cursor", cursor)
		} else if _, ok := errors.AsType[*symphony.InvalidError](err); !ok {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}

// endless is a store of which nothing matches, whose rows never end.
type endless struct{ rows int }

func (e *endless) Portion(above, below symphony.ID, most int) (p search.Portion[symphony.ID], err error) {
	e.rows += search.Rows
	p.Read = search.Rows
	p.Last[14], p.Last[15] = byte(e.rows>>8), byte(e.rows)
	return p, nil
}

func (e *endless) Records(search.Place, []symphony.ID) ([]monitor.Record, error) { return nil, nil }

// TestPageEnds: one call reads no more than it may, and says where the next one goes on.
func TestPageEnds(t *testing.T) {
	var e endless
	page, err := search.Page(&e, &monitor.Search{Oldest: true})
	if err != nil || page.Read != e.rows || page.Read > monitor.SearchRows || page.Cursor == "" || len(page.Records) != 0 {
		t.Errorf("%+v, %v after %d rows", page, err, e.rows)
	}
}
