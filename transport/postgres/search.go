package postgres

import (
	"context"
	"fmt"
	"slices"
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
	err = t.read(ctx, func(ctx context.Context, ex executor) (err error) {
		page, err = t.search(ctx, ex, &s)
		return err
	})
	if err != nil {
		return monitor.Page{}, t.fail("search messages in", ended(ctx, err))
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

func (t *Transport) search(ctx context.Context, ex executor, s *monitor.Search) (page monitor.Page, err error) {
	above, below, err := s.Bounds()
	if err != nil {
		return page, err
	}
	conditions := t.conditions(s)
	text, next := t.sql.list, &below
	if s.Oldest {
		text, next = t.sql.listOldest, &above
	}
	var all []hit
	for begun := time.Now(); ; {
		most := s.Most() - len(all)
		read, last, some := 0, (*[16]byte)(nil), 0
		args := slices.Concat([]any{[16]byte(above), [16]byte(below), searchPortion}, conditions[:4], []any{most}, conditions[4:])
		err := ex.query(ctx, text, args, func(scan scanner) error {
			var id *[16]byte
			var place *int
			if err := scan(&read, &last, &id, &place); err != nil || id == nil {
				return err
			}
			some++
			all = append(all, hit{*id, *place})
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
			page.Cursor = monitor.CursorAfter(*last)
		default:
			*next = *last
			continue
		}
		page.Records, err = t.recordsOf(ctx, ex, all)
		return page, err
	}
}

// conditions are the arguments of list.sql that stay the same from portion to portion: four of places, and those after the eighth.
func (t *Transport) conditions(s *monitor.Search) []any {
	var statuses, path, value, conversation any
	if len(s.Statuses) > 0 {
		texts := make([]string, len(s.Statuses))
		for i, status := range s.Statuses {
			texts[i] = string(status)
		}
		statuses = texts
	}
	if s.Body.Path != "" {
		steps, _ := s.Body.Steps() // checked
		path, value = steps, s.Body.Value
	}
	if !s.Conversation.IsZero() {
		conversation = [16]byte(s.Conversation)
	}
	return []any{
		s.Has(monitor.Pending, monitor.Scheduled, monitor.Processing), s.Has(monitor.Failed), s.Has(monitor.Completed, monitor.Cancelled, monitor.Expired),
		t.options.Retention.Milliseconds(), statuses, null(s.Queue), null(s.Type), null(s.Subscriber), null(s.Tag), null(s.Error),
		null(string(s.Reason)), null(s.Class), null(s.Fingerprint), moment(s.Since), moment(s.Until), conversation, path, value,
	}
}

// moment is the argument for a time, which may be none.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// recordsOf reads the messages that a search has found in the same transaction, in that order.
func (t *Transport) recordsOf(ctx context.Context, ex executor, all []hit) ([]monitor.Record, error) {
	ids := make(map[int][]symphony.ID)
	for _, f := range all {
		ids[f.place] = append(ids[f.place], f.id)
	}
	got := make(map[hit]monitor.Record, len(all))
	for place, ids := range ids {
		text, args := t.sql.recordLive, []any{raw(ids)}
		switch place {
		case amongFailed:
			text = t.sql.recordDead
		case amongEnded:
			text, args = t.sql.recordHistory, append(args, t.options.Retention.Milliseconds())
		}
		some, err := records(ctx, ex, text, args)
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
	err = t.read(ctx, func(ctx context.Context, ex executor) error {
		page = monitor.GroupPage{}
		var last int64
		err := ex.query(ctx, t.sql.failedGroups, args, func(scan scanner) error {
			var print, typ, class, reason, text *string
			var count *int64
			var first, latest *time.Time
			var id *[16]byte
			if err := scan(&page.Read, &last, &print, &typ, &class, &reason, &count, &first, &latest, &id, &text); err != nil || print == nil {
				return err
			}
			page.Groups = append(page.Groups, monitor.FailedGroup{
				Fingerprint: *print, Type: *typ, Class: *class, Reason: symphony.Reason(*reason), Count: *count,
				First: first.UTC(), Last: latest.UTC(), Sample: *id, Error: *text,
			})
			return nil
		})
		if page.Read == monitor.SearchRows {
			page.Cursor = fmt.Sprintf("%x", last)
		}
		return err
	})
	if err != nil {
		return monitor.GroupPage{}, t.fail("group dead letters of", ended(ctx, err))
	}
	monitor.SortGroups(page.Groups)
	return page, nil
}
