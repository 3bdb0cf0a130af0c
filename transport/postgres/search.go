package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/search"
	"github.com/symphony-messenger/symphony/monitor"
)

// Messages implements [monitor.Lister].
func (t *Transport) Messages(ctx context.Context, s monitor.Search) (page monitor.Page, err error) {
	if err := s.Check(); err != nil {
		return page, t.fail("search messages in", err)
	}
	err = t.read(ctx, func(ctx context.Context, ex executor) (err error) {
		page, err = search.Page(&searching{t, ctx, ex, &s, t.conditions(&s)}, &s)
		return err
	})
	if err != nil {
		return monitor.Page{}, t.fail("search messages in", ended(ctx, err))
	}
	return page, nil
}

// A searching is a [search.Store] for one call.
type searching struct {
	t          *Transport
	ctx        context.Context
	ex         executor
	search     *monitor.Search
	conditions []any
}

func (s *searching) Portion(above, below symphony.ID, most int) (p search.Portion[symphony.ID], err error) {
	text := s.t.sql.list
	if s.search.Oldest {
		text = s.t.sql.listOldest
	}
	args := slices.Concat([]any{[16]byte(above), [16]byte(below), search.Rows}, s.conditions[:4], []any{most}, s.conditions[4:])
	err = s.ex.query(s.ctx, text, args, func(scan scanner) error {
		var last, id *[16]byte
		var place *search.Place
		if err := scan(&p.Read, &last, &id, &place); err != nil || last == nil {
			return err
		}
		if p.Last = *last; id != nil {
			p.Hits = append(p.Hits, search.Hit[symphony.ID]{Key: *id, ID: *id, Place: *place})
		}
		return nil
	})
	return p, err
}

func (s *searching) Records(at search.Place, ids []symphony.ID) ([]monitor.Record, error) {
	text, args := s.t.sql.recordLive, []any{raw(ids)}
	switch at {
	case search.Failed:
		text = s.t.sql.recordDead
	case search.Ended:
		text, args = s.t.sql.recordHistory, append(args, s.t.options.Retention.Milliseconds())
	}
	return records(s.ctx, s.ex, text, args)
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

// FailedGroups implements [monitor.Grouper].
func (t *Transport) FailedGroups(ctx context.Context, f monitor.Filter) (page monitor.GroupPage, err error) {
	below, err := search.Number(f.Cursor)
	if err != nil {
		return page, t.fail("group dead letters of", err)
	}
	args := []any{
		below, monitor.SearchRows, null(f.Type), null(f.Queue), null(string(f.Reason)), null(f.Class), moment(f.Since), moment(f.Until),
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
			page.Cursor = search.NumberCursor(last)
		}
		return err
	})
	if err != nil {
		return monitor.GroupPage{}, t.fail("group dead letters of", ended(ctx, err))
	}
	monitor.SortGroups(page.Groups)
	return page, nil
}
