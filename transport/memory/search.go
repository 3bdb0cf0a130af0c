package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/search"
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
func (t *Transport) FailedGroups(ctx context.Context, f monitor.Filter) (page monitor.GroupPage, err error) {
	below, err := search.Number(f.Cursor)
	if err != nil {
		return page, fmt.Errorf("group dead letters: %w", err)
	}
	if _, err := t.begin(ctx); err != nil {
		return page, err
	}
	defer t.mu.Unlock()
	f.Fingerprint = ""
	at := make(map[string]int)
	for m := range t.letters(below, nil) {
		if m.matches(f) {
			page.Groups = m.addTo(page.Groups, at)
		}
		if page.Read++; page.Read == monitor.SearchRows {
			page.Cursor = search.NumberCursor(m.buried)
			break
		}
	}
	monitor.SortGroups(page.Groups)
	return page, nil
}

// addTo counts a dead letter, which is older than those before, in its group. at says where the groups are.
func (m *message) addTo(groups []monitor.FailedGroup, at map[string]int) []monitor.FailedGroup {
	i, known := at[m.fingerprint()]
	if !known {
		i = len(groups)
		at[m.fingerprint()] = i
		groups = append(groups, monitor.FailedGroup{
			Fingerprint: m.fingerprint(), Type: m.env.Type, Class: m.lastClass, Reason: m.reason, Last: timeOf(m.finished), Sample: m.env.ID, Error: m.lastError,
		})
	}
	groups[i].Count++
	groups[i].First = timeOf(m.finished)
	return groups
}
