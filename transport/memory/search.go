package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Messages implements [monitor.Lister]. It sorts all messages there are.
func (t *Transport) Messages(ctx context.Context, s monitor.Search) (page monitor.Page, err error) {
	if err := s.Check(); err != nil {
		return page, fmt.Errorf("search messages: %w", err)
	}
	above, below, err := s.Bounds()
	if err != nil {
		return page, err
	}
	if _, err := t.begin(ctx); err != nil {
		return page, err
	}
	defer t.mu.Unlock()
	var ids []symphony.ID
	for id := range t.messages {
		if bytes.Compare(id[:], above[:]) > 0 && bytes.Compare(id[:], below[:]) < 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b symphony.ID) int {
		if s.Oldest {
			return bytes.Compare(a[:], b[:])
		}
		return bytes.Compare(b[:], a[:])
	})
	for i, id := range ids {
		page.Read++
		if r := t.messages[id].record(); s.Matches(&r) {
			page.Records = append(page.Records, r)
		}
		if i+1 < len(ids) && (len(page.Records) == s.Most() || page.Read == monitor.SearchRows) {
			page.Cursor = monitor.CursorAfter(id)
			break
		}
	}
	return page, nil
}

// FailedGroups implements [monitor.Grouper].
func (t *Transport) FailedGroups(ctx context.Context, f monitor.Filter, cursor string) (page monitor.GroupPage, err error) {
	skip := 0
	if cursor != "" {
		if skip, err = strconv.Atoi(cursor); err != nil {
			return page, &symphony.InvalidError{What: "cursor", Value: cursor, Rule: "that of a page"}
		}
	}
	if _, err := t.begin(ctx); err != nil {
		return page, err
	}
	defer t.mu.Unlock()
	var groups []monitor.FailedGroup
	n := 0
	for at := t.dead.Back(); at != nil; at = at.Prev() {
		if n++; n <= skip {
			continue
		}
		if page.Read == monitor.SearchRows {
			page.Cursor = strconv.Itoa(n - 1)
			break
		}
		page.Read++
		m := at.Value.(*message)
		f := f
		f.IDs, f.Fingerprint = nil, ""
		if !m.matches(f) {
			continue
		}
		i := slices.IndexFunc(groups, func(g monitor.FailedGroup) bool { return g.Fingerprint == m.fingerprint() })
		if i < 0 {
			i = len(groups)
			groups = append(groups, monitor.FailedGroup{
				Fingerprint: m.fingerprint(), Type: m.env.Type, Class: m.lastClass, Reason: m.reason, Last: timeOf(m.finished), Sample: m.env.ID, Error: m.lastError,
			})
		}
		groups[i].Count++
		groups[i].First = timeOf(m.finished)
	}
	monitor.SortGroups(groups)
	page.Groups = groups
	return page, nil
}
