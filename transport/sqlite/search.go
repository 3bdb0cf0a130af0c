package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/search"
	"github.com/symphony-messenger/symphony/monitor"
)

// Messages implements [monitor.Lister].
func (t *Transport) Messages(ctx context.Context, s monitor.Search) (page monitor.Page, err error) {
	if err := s.Check(); err != nil {
		return page, t.fail("search messages in", err)
	}
	err = t.read(ctx, func(q *queries) (err error) {
		page, err = search.Page(&searching{q, &s, conditions(&s)}, &s)
		return err
	})
	if err != nil {
		return monitor.Page{}, t.fail("search messages in", err)
	}
	return page, nil
}

// A searching is a [search.Store] for one call.
type searching struct {
	q          *queries
	search     *monitor.Search
	conditions []any
}

func (s *searching) Portion(above, below symphony.ID, most int) (p search.Portion[symphony.ID], err error) {
	text := sqlList
	if s.search.Oldest {
		text = sqlListOldest
	}
	args := slices.Concat([]any{above[:], below[:], search.Rows}, s.conditions[:3], []any{most}, s.conditions[3:])
	err = s.q.each(text, args, func(rows *sql.Rows) error {
		var last, id []byte
		var place sql.Null[search.Place]
		if err := rows.Scan(&p.Read, &last, &id, &place); err != nil || last == nil {
			return err
		}
		if p.Last = symphony.ID(last); place.Valid {
			p.Hits = append(p.Hits, search.Hit[symphony.ID]{Key: symphony.ID(id), ID: symphony.ID(id), Place: place.V})
		}
		return nil
	})
	return p, err
}

func (s *searching) Records(at search.Place, ids []symphony.ID) ([]monitor.Record, error) {
	text := sqlRecordLive
	switch at {
	case search.Failed:
		text = sqlRecordDead
	case search.Ended:
		text = sqlRecordHistory
	}
	return records(s.q, text, []any{hexes(ids)})
}

// conditions are the arguments of list.sql that stay the same from portion to portion: three of places, and those after the seventh.
func conditions(s *monitor.Search) []any {
	var statuses, path, value, first, conversation any
	if len(s.Statuses) > 0 {
		statuses = array(s.Statuses)
	}
	if s.Body.Path != "" {
		steps, _ := s.Body.Steps() // checked
		var b strings.Builder
		b.WriteByte('$')
		for _, step := range steps {
			if step[0] == '[' {
				b.WriteString(step + "]")
			} else {
				b.WriteString(`."` + step + `"`)
			}
		}
		path, value = b.String(), s.Body.Value
	}
	if !s.Conversation.IsZero() {
		first, conversation = s.Conversation[:], s.Conversation.String()
	}
	return []any{
		s.Has(monitor.Pending, monitor.Scheduled, monitor.Processing), s.Has(monitor.Failed), s.Has(monitor.Completed, monitor.Cancelled, monitor.Expired),
		statuses, null(s.Queue), null(s.Type), null(s.Subscriber), null(s.Tag), null(s.Error),
		null(string(s.Reason)), null(s.Class), null(s.Fingerprint), moment(s.Since), moment(s.Until), first, conversation, path, value,
	}
}

// FailedGroups implements [monitor.Grouper].
func (t *Transport) FailedGroups(ctx context.Context, f monitor.Filter) (page monitor.GroupPage, err error) {
	below, err := search.Number(f.Cursor)
	if err != nil {
		return page, t.fail("group dead letters of", err)
	}
	args := []any{
		below, monitor.SearchRows, null(f.Type), null(f.Queue), null(string(f.Reason)), null(f.Class), moment(f.Since), moment(f.Until),
	}
	err = t.read(ctx, func(q *queries) error {
		var last int64
		err := q.each(sqlFailedGroups, args, func(rows *sql.Rows) error {
			var print, typ, class, reason, text sql.NullString
			var count, first, latest sql.NullInt64
			var id []byte
			if err := rows.Scan(&page.Read, &last, &print, &typ, &class, &reason, &count, &first, &latest, &id, &text); err != nil || !print.Valid {
				return err
			}
			page.Groups = append(page.Groups, monitor.FailedGroup{
				Fingerprint: print.String, Type: typ.String, Class: class.String, Reason: symphony.Reason(reason.String), Count: count.Int64,
				First: instant(first), Last: instant(latest), Sample: symphony.ID(id), Error: text.String,
			})
			return nil
		})
		if page.Read == monitor.SearchRows {
			page.Cursor = search.NumberCursor(last)
		}
		return err
	})
	if err != nil {
		return monitor.GroupPage{}, t.fail("group dead letters of", err)
	}
	monitor.SortGroups(page.Groups)
	return page, nil
}
