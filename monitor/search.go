package monitor

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A Search chooses messages in any state. Zero fields choose all; the fields that are set must all match.
type Search struct {
	Statuses   []Status `json:"statuses,omitempty"`
	Queue      string   `json:"queue,omitempty"`
	Type       string   `json:"type,omitempty"`
	Subscriber string   `json:"subscriber,omitempty"`
	Tag        string   `json:"tag,omitempty"`
	Error      string   `json:"error,omitempty"` // a part of the last error; the case of A to Z does not matter
	Body       BodyIs   `json:"body,omitzero"`
	// Conversation chooses the messages that were dispatched while its first message was handled, or one of those
	// was, and so on. It is the ID of the first, or the header HeaderCorrelation of any other.
	Conversation symphony.ID `json:"conversation,omitzero"`

	Reason      symphony.Reason `json:"reason,omitempty"`      // chooses dead letters only
	Class       string          `json:"class,omitempty"`       // of the last error
	Fingerprint string          `json:"fingerprint,omitempty"` // chooses dead letters only

	Since time.Time `json:"since,omitzero"` // accepted at or after
	Until time.Time `json:"until,omitzero"` // accepted before

	Oldest bool   `json:"oldest,omitempty"` // first; else the latest
	Limit  int    `json:"limit,omitempty"`  // 0: 50
	Cursor string `json:"cursor,omitempty"` // of the page before
}

// Skew is how far the clocks of senders may be off for a search by time to find their messages. Messages are looked
// through in the order of their IDs, which have the times of the senders.
const Skew = time.Hour

// How much one call of [Lister] reads at most: rows, and time after which it begins with no further portion of them.
const (
	SearchRows = 20_000
	SearchTime = 100 * time.Millisecond
)

// A BodyIs compares one value in a body that is JSON: a string, a number as it is written, true or false.
// A body that is no JSON does not match.
type BodyIs struct {
	Path  string `json:"path"` // such as user.id or items[0].sku; "": no condition
	Value string `json:"value"`
}

// Steps reads the path: names of members, and numbers of elements with "[" before them. It returns an
// *[symphony.InvalidError] for one that is none.
func (b BodyIs) Steps() ([]string, error) {
	bad := &symphony.InvalidError{What: "path", Value: b.Path, Rule: "names and indexes such as user.id or items[0].sku"}
	var steps []string
	for i, part := range strings.Split(b.Path, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		if strings.ContainsAny(name, "\"\x00]") || name == "" && (!indexed || i > 0) {
			return nil, bad
		}
		if name != "" {
			steps = append(steps, name)
		}
		for indexed {
			var index string
			var ok bool
			if index, rest, ok = strings.Cut(rest, "]"); !ok {
				return nil, bad
			}
			if n, err := strconv.Atoi(index); err != nil || n < 0 {
				return nil, bad
			}
			steps = append(steps, "["+index)
			if rest != "" && rest[0] != '[' {
				return nil, bad
			}
			indexed, rest = rest != "", strings.TrimPrefix(rest, "[")
		}
	}
	return steps, nil
}

// Matches reports whether a body has the value at the path.
func (b BodyIs) Matches(contentType string, body []byte) bool {
	if b.Path == "" {
		return true
	}
	steps, err := b.Steps()
	if err != nil || contentType != "application/json" {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return false
	}
	for _, s := range steps {
		switch in := v.(type) {
		case map[string]any:
			v = in[s]
		case []any:
			n, err := strconv.Atoi(strings.TrimPrefix(s, "["))
			if s[0] != '[' || err != nil || n >= len(in) {
				return false
			}
			v = in[n]
		default:
			return false
		}
	}
	switch v := v.(type) {
	case string:
		return v == b.Value
	case json.Number:
		return v.String() == b.Value
	case bool:
		return strconv.FormatBool(v) == b.Value
	}
	return false
}

// Check returns an error that matches *[symphony.InvalidError] for a search that no store can do.
func (s *Search) Check() error {
	if _, err := s.After(); err != nil {
		return err
	}
	for _, status := range s.Statuses {
		if !slices.Contains(Statuses(), status) {
			return &symphony.InvalidError{What: "status", Value: string(status), Rule: "one of pending, scheduled, processing, completed, failed, cancelled and expired"}
		}
	}
	if s.Body.Path != "" {
		if _, err := s.Body.Steps(); err != nil {
			return err
		}
	}
	return nil
}

// Has reports whether messages of a state are looked for.
func (s *Search) Has(of ...Status) bool {
	if (s.Reason != "" || s.Fingerprint != "") && !slices.Contains(of, Failed) {
		return false
	}
	return len(s.Statuses) == 0 || slices.ContainsFunc(of, func(status Status) bool { return slices.Contains(s.Statuses, status) })
}

// Most is how many records a page has at most.
func (s *Search) Most() int { return most(s.Limit) }

// most is how many records a page has at most when so many are asked for.
func most(limit int) int {
	switch {
	case limit <= 0:
		return 50
	case limit > 1000:
		return 1000
	}
	return limit
}

// Matches reports whether r is one that s chooses, whatever its ID and the cursor are.
func (s *Search) Matches(r *Record) bool {
	return s.Has(r.Status) && (len(s.Statuses) == 0 || slices.Contains(s.Statuses, r.Status)) &&
		(s.Queue == "" || s.Queue == r.Queue) &&
		(s.Type == "" || s.Type == r.Type) &&
		(s.Subscriber == "" || s.Subscriber == r.Subscriber) &&
		(s.Tag == "" || slices.Contains(r.Tags, s.Tag)) &&
		(s.Error == "" || strings.Contains(strings.ToLower(r.LastError), strings.ToLower(s.Error))) &&
		(s.Reason == "" || s.Reason == r.Reason) &&
		(s.Class == "" || s.Class == r.ErrorClass) &&
		(s.Fingerprint == "" || s.Fingerprint == r.Fingerprint) &&
		(s.Since.IsZero() || !r.CreatedAt.Before(s.Since)) &&
		(s.Until.IsZero() || r.CreatedAt.Before(s.Until)) &&
		(s.Conversation.IsZero() || r.ID == s.Conversation || r.Headers[symphony.HeaderCorrelation] == s.Conversation.String()) &&
		s.Body.Matches(r.ContentType, r.Body)
}

// Bounds returns the IDs between which a search must look, both excluded.
func (s *Search) Bounds() (above, below symphony.ID, err error) {
	below = symphony.ID(bytes.Repeat([]byte{0xff}, 16))
	at := func(t time.Time) (id symphony.ID) {
		ms := uint64(max(t.UnixMilli(), 0))
		for i := range 6 {
			id[i] = byte(ms >> (40 - 8*i))
		}
		return id
	}
	if !s.Since.IsZero() {
		above = at(s.Since.Add(-Skew))
	}
	if !s.Conversation.IsZero() { // they are later than the first of them
		if first := at(idTime(s.Conversation).Add(-Skew)); bytes.Compare(first[:], above[:]) > 0 {
			above = first
		}
	}
	if !s.Until.IsZero() {
		below = at(s.Until.Add(Skew))
	}
	after, err := s.After()
	if err != nil || after.IsZero() {
		return above, below, err
	}
	if s.Oldest {
		above = after
	} else {
		below = after
	}
	return above, below, nil
}

func idTime(id symphony.ID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}

// After returns the ID behind which the page begins; zero for the first page.
func (s *Search) After() (id symphony.ID, err error) {
	if s.Cursor == "" {
		return id, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s.Cursor)
	if err != nil || len(b) != len(id) {
		return id, &symphony.InvalidError{What: "cursor", Value: s.Cursor, Rule: "that of a page"}
	}
	return symphony.ID(b), nil
}

// CursorAfter makes the cursor of a page whose last row had an ID.
func CursorAfter(id symphony.ID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// A Page is an answer to a [Search] or a [Filter].
type Page struct {
	Records []Record `json:"messages"`
	Cursor  string   `json:"cursor,omitempty"` // where the next page begins; "": there is none
	Read    int      `json:"read"`             // rows that were looked at
}

// A Lister lists messages.
type Lister interface {
	// Messages returns a page of the messages that s chooses, in the order of their IDs, which is about that of their
	// being sent: the latest first, or the oldest. One call reads [SearchRows] rows at most, and stops after about
	// [SearchTime]: the page may have fewer records than there is room for, even none, and a cursor with which the search
	// goes on. What is sent, moved or ends meanwhile is seen in one of its states or not at all, never twice in a page.
	// It returns an error that matches *[symphony.InvalidError] for a search that makes no sense.
	Messages(ctx context.Context, s Search) (Page, error)
}

// All calls fn with every page of a search, until fn returns an error, which All returns.
func All(ctx context.Context, l Lister, s Search, fn func(Page) error) error {
	for {
		p, err := l.Messages(ctx, s)
		if err != nil {
			return err
		}
		if err := fn(p); err != nil || p.Cursor == "" {
			return err
		}
		s.Cursor = p.Cursor
	}
}
