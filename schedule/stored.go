package schedule

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
)

// stamps is how stores keep the parts of a message that have no column of their own.
type stamps struct {
	Version    int               `json:"version,omitempty"`
	Priority   int               `json:"priority,omitempty"`
	Group      string            `json:"group,omitempty"`
	Expires    int64             `json:"expires,omitempty"` // milliseconds
	MaxRetries *int              `json:"max_retries,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Tags       []string          `json:"tags,omitempty"`
}

// Stamps is for stores: what a message has besides type, body, content type and queue, as a JSON object. All of it can be queried.
func (m *Message) Stamps() (string, error) {
	text, err := json.Marshal(stamps{m.Version, m.Priority, m.Group, m.Expires.Milliseconds(), m.MaxRetries, m.Headers, m.Tags})
	return string(text), err
}

// SetStamps reads what Stamps has written.
func (m *Message) SetStamps(text string) error {
	var s stamps
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("stamps of a schedule: %w", err)
	}
	m.Version, m.Priority, m.Group, m.Expires = s.Version, max(s.Priority, 1), s.Group, time.Duration(s.Expires)*time.Millisecond
	if s.Priority == 0 {
		m.Priority = defaultPriority
	}
	m.MaxRetries, m.Headers, m.Tags = s.MaxRetries, s.Headers, s.Tags
	return nil
}

const defaultPriority = 5

// Settle is for stores: it says which messages the ticks of a change made, in the order of its ticks with an envelope, and which of them were there
// already.
func (c *Change) Settle(i int, messages []symphony.ID, repeated bool) {
	t := &c.Ticks[i]
	if t.Repeated = repeated; repeated {
		t.Messages = nil
		if t.Counts() {
			c.Entry.RunCount--
		}
		return
	}
	t.Messages = messages
	all := append(c.Entry.LastMessages, messages...)
	c.Entry.LastMessages = all[max(0, len(all)-max(keptMessages, len(messages))):]
}
