package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/errtext"
)

// A document is a schedule in JSON, and in files.
type document struct {
	Name       string          `json:"name"`
	Owner      string          `json:"owner,omitempty"`
	Kind       Kind            `json:"kind,omitempty"`
	Expression string          `json:"expression,omitempty"`
	Timezone   string          `json:"timezone,omitempty"`
	Anchor     time.Time       `json:"anchor,omitzero"`
	Message    messageDocument `json:"message"`
	Missed     Missed          `json:"missed,omitempty"`
	Window     text            `json:"window,omitzero"`
	Overlap    Overlap         `json:"overlap,omitempty"`
	Jitter     text            `json:"jitter,omitzero"`
	From       time.Time       `json:"from,omitzero"`
	Until      time.Time       `json:"until,omitzero"`
	Exclude    []Period        `json:"exclude,omitempty"`
	MaxRuns    int64           `json:"max_runs,omitempty"`
	Paused     bool            `json:"paused,omitempty"`

	// Short for kind and expression, when it is read.
	Once  string `json:"once,omitempty"`
	Cron  string `json:"cron,omitempty"`
	Every string `json:"every,omitempty"`
}

type messageDocument struct {
	Type        string            `json:"type"`
	Body        json.RawMessage   `json:"body,omitempty"` // of JSON
	Bytes       []byte            `json:"body_base64,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Version     int               `json:"version,omitempty"`
	Queue       string            `json:"queue,omitempty"`
	Priority    int               `json:"priority,omitempty"`
	Group       string            `json:"group,omitempty"`
	Expires     text              `json:"expires,omitzero"`
	MaxRetries  *int              `json:"max_retries,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Tags        []string          `json:"tags,omitempty"`
}

const jsonType = "application/json"

// A text is a duration as people write it.
type text time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (t text) MarshalText() ([]byte, error) { return []byte(length(time.Duration(t))), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *text) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return invalid("duration", string(b), "one such as 30s, 15m or 1h30m")
	}
	*t = text(d)
	return nil
}

func (s *Schedule) document() document {
	m := &s.Message
	d := document{
		Name: s.Name, Owner: s.Owner, Kind: s.Kind, Expression: s.Expression, Timezone: s.Timezone, Anchor: s.Anchor,
		Missed: s.Missed, Window: text(s.Window), Overlap: s.Overlap, Jitter: text(s.Jitter), From: s.From, Until: s.Until, Exclude: s.Exclude,
		MaxRuns: s.MaxRuns, Paused: s.Paused,
		Message: messageDocument{
			Type: m.Type, ContentType: m.ContentType, Version: m.Version, Queue: m.Queue, Priority: m.Priority, Group: m.Group,
			Expires: text(m.Expires), MaxRetries: m.MaxRetries, Headers: m.Headers, Tags: m.Tags,
		},
	}
	if d.Message.ContentType == jsonType {
		d.Message.ContentType = ""
	}
	if d.Message.ContentType == "" && json.Valid(m.Body) {
		d.Message.Body = m.Body
	} else {
		d.Message.Bytes = m.Body
	}
	return d
}

// MarshalJSON shows what s says: the body of its message as "body" when it is JSON, else as "body_base64".
func (s Schedule) MarshalJSON() ([]byte, error) { return json.Marshal(s.document()) }

// UnmarshalJSON reads what MarshalJSON writes, and files: there "cron", "every" and "once" stand for kind and expression, and a field
// that is not known is an error. It does not check the values; [Manager.Apply] does.
func (s *Schedule) UnmarshalJSON(b []byte) error {
	var doc document
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return fmt.Errorf("%s: %w", titled(doc.Name, b), errtext.WrongType(err))
	}
	ways := 0
	for _, way := range []struct {
		kind Kind
		text string
	}{{KindOnce, doc.Once}, {KindCron, doc.Cron}, {KindInterval, doc.Every}, {doc.Kind, doc.Expression}} {
		if way.text != "" {
			ways++
			doc.Kind, doc.Expression = way.kind, way.text
		}
	}
	if ways != 1 {
		return fmt.Errorf("schedule %.80s: it must have one of cron, every and once", doc.Name)
	}
	m := doc.Message
	body := m.Bytes
	switch {
	case m.Body != nil && m.Bytes != nil:
		return fmt.Errorf("schedule %.80s: its message has body and body_base64", doc.Name)
	case m.Body != nil:
		body = m.Body
	case body == nil:
		body = []byte("{}")
	}
	*s = Schedule{
		Name: doc.Name, Owner: doc.Owner, Kind: doc.Kind, Expression: doc.Expression, Timezone: doc.Timezone, Anchor: doc.Anchor,
		Missed: doc.Missed, Window: time.Duration(doc.Window), Overlap: doc.Overlap, Jitter: time.Duration(doc.Jitter), From: doc.From, Until: doc.Until,
		Exclude: doc.Exclude, MaxRuns: doc.MaxRuns, Paused: doc.Paused,
		Message: Message{
			Type: m.Type, Body: body, ContentType: m.ContentType, Version: m.Version, Queue: m.Queue, Priority: m.Priority, Group: m.Group,
			Expires: time.Duration(m.Expires), MaxRetries: m.MaxRetries, Headers: m.Headers, Tags: m.Tags,
		},
	}
	if m.Type == "" {
		return fmt.Errorf("schedule %.80s: %w", doc.Name, errors.New("its message has no type"))
	}
	return nil
}

// titled names a schedule that could not be read.
func titled(name string, b []byte) string {
	var named struct{ Name string }
	if name == "" && json.Unmarshal(b, &named) == nil {
		name = named.Name
	}
	if name == "" {
		return "a schedule with no name"
	}
	return fmt.Sprintf("schedule %.80s", name)
}

// MarshalJSON shows what e says, and how it stands.
func (e Entry) MarshalJSON() ([]byte, error) {
	d := e.document()
	d.Paused = false
	return json.Marshal(struct {
		document
		State        State         `json:"state"`
		NextRunAt    time.Time     `json:"next_run_at,omitzero"`
		LastTickAt   time.Time     `json:"last_tick_at,omitzero"`
		LastRunAt    time.Time     `json:"last_run_at,omitzero"`
		RunCount     int64         `json:"run_count"`
		MissedCount  int64         `json:"missed_count"`
		SkippedCount int64         `json:"skipped_count"`
		LastMessages []symphony.ID `json:"last_messages,omitempty"`
		LastError    string        `json:"last_error,omitempty"`
		EditedAt     time.Time     `json:"edited_at,omitzero"`
		DroppedAt    time.Time     `json:"dropped_at,omitzero"`
		CreatedAt    time.Time     `json:"created_at"`
		UpdatedAt    time.Time     `json:"updated_at"`
	}{
		d, e.State(), e.NextRunAt, e.LastTickAt, e.LastRunAt, e.RunCount, e.MissedCount, e.SkippedCount, e.LastMessages, e.LastError,
		e.EditedAt, e.DroppedAt, e.CreatedAt, e.UpdatedAt,
	})
}
