package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// searchPortion is how many rows one statement reads: between two, a search that takes long stops.
const searchPortion = 2000

// Messages implements [monitor.Lister].
func (t *Transport) Messages(ctx context.Context, s monitor.Search) (page monitor.Page, err error) {
	if err := s.Check(); err != nil {
		return page, t.fail("search messages in", err)
	}
	err = t.read(ctx, func(q *queries) (err error) {
		page, err = search(q, &s)
		return err
	})
	if err != nil {
		return monitor.Page{}, t.fail("search messages in", err)
	}
	return page, nil
}

// Places of messages, as list.sql names them.
const (
	amongLive = iota + 1
	amongFailed
	amongEnded
)

// A hit is a message that a search has found.
type hit struct {
	id    symphony.ID
	place int
}

func search(q *queries, s *monitor.Search) (page monitor.Page, err error) {
	above, below, err := s.Bounds()
	if err != nil {
		return page, err
	}
	text, next := sqlList, &below
	if s.Oldest {
		text, next = sqlListOldest, &above
	}
	conditions := conditions(s)
	var all []hit
	for begun := time.Now(); ; {
		most := s.Most() - len(all)
		var read, some int
		var last []byte
		args := slices.Concat([]any{slices.Clone(above[:]), slices.Clone(below[:]), searchPortion}, conditions[:3], []any{most}, conditions[3:])
		err := q.each(text, args, func(rows *sql.Rows) error {
			var id []byte
			var place sql.NullInt64
			if err := rows.Scan(&read, &last, &id, &place); err != nil || !place.Valid {
				return err
			}
			some++
			all = append(all, hit{symphony.ID(id), int(place.Int64)})
			return nil
		})
		if err != nil {
			return page, err
		}
		page.Read += read
		switch {
		case some == most:
			page.Cursor = monitor.CursorAfter(all[len(all)-1].id)
		case read < searchPortion:
		case page.Read+searchPortion > monitor.SearchRows || time.Since(begun) > monitor.SearchTime:
			page.Cursor = monitor.CursorAfter(symphony.ID(last))
		default:
			*next = symphony.ID(last)
			continue
		}
		page.Records, err = recordsOf(q, all)
		return page, err
	}
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

// recordsOf reads the messages that a search has found in the same transaction, in that order.
func recordsOf(q *queries, all []hit) ([]monitor.Record, error) {
	ids := make(map[int][]symphony.ID)
	for _, f := range all {
		ids[f.place] = append(ids[f.place], f.id)
	}
	got := make(map[hit]monitor.Record, len(all))
	for place, ids := range ids {
		text, args := sqlRecordLive, []any{hexes(ids)}
		switch place {
		case amongFailed:
			text = sqlRecordDead
		case amongEnded:
			text = sqlRecordHistory
		}
		some, err := records(q, text, args)
		if err != nil {
			return nil, err
		}
		for _, r := range some {
			got[hit{r.ID, place}] = r
		}
	}
	list := make([]monitor.Record, 0, len(all))
	for _, f := range all {
		if r, ok := got[f]; ok {
			list = append(list, r)
			delete(got, f) // it may have ended twice
		}
	}
	return list, nil
}

// FailedGroups implements [monitor.Grouper].
func (t *Transport) FailedGroups(ctx context.Context, f monitor.Filter, cursor string) (page monitor.GroupPage, err error) {
	var after any
	if cursor != "" {
		var n int64
		if _, err := fmt.Sscanf(cursor, "%x", &n); err != nil {
			return page, &symphony.InvalidError{What: "cursor", Value: cursor, Rule: "that of a page"}
		}
		after = n
	}
	args := []any{
		after, monitor.SearchRows, null(f.Type), null(f.Queue), null(string(f.Reason)), null(f.Class), moment(f.Since), moment(f.Until),
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
			page.Cursor = fmt.Sprintf("%x", last)
		}
		return err
	})
	if err != nil {
		return monitor.GroupPage{}, t.fail("group dead letters of", err)
	}
	monitor.SortGroups(page.Groups)
	return page, nil
}
