package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/symphony-messenger/symphony/monitor"
)

// A message is a record as it is shown, with its body: as JSON in "body" when it is JSON, else in
// "body_base64".
type message struct {
	monitor.Record
	Body   json.RawMessage `json:"body,omitempty"`
	Base64 *[]byte         `json:"body_base64,omitempty"`
}

func newMessage(r monitor.Record) message {
	if isJSON(r.ContentType) && json.Valid(r.Body) && utf8.Valid(r.Body) {
		return message{Record: r, Body: r.Body}
	}
	return message{Record: r, Base64: &r.Body}
}

func newMessages(rs []monitor.Record) []message {
	ms := make([]message, len(rs))
	for i, r := range rs {
		ms[i] = newMessage(r)
	}
	return ms
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// write shows m to people: its fields, its failed attempts and its body.
func (m message) write(w io.Writer) {
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-13s %s\n", name+":", line(value))
		}
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	field("id", m.ID.String())
	field("type", m.Type)
	field("subscriber", m.Subscriber)
	field("queue", m.Queue)
	field("status", m.statusText())
	field("priority", strconv.Itoa(m.Priority))
	field("group", m.Group)
	field("key", m.Key)
	field("tags", strings.Join(m.Tags, ", "))
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		field("header", name+": "+m.Headers[name])
	}
	field("created", moment(m.CreatedAt))
	field("scheduled", moment(m.ScheduledAt))
	field("available", moment(m.AvailableAt))
	field("expires", moment(m.ExpiresAt))
	field("finished", moment(m.FinishedAt))
	field("locked by", m.LockedBy)
	field("locked until", moment(m.LockedUntil))
	field("retries", number(m.RetryCount))
	if m.MaxRetries != nil {
		field("max retries", strconv.Itoa(*m.MaxRetries))
	}
	field("crashes", number(m.CrashCount))
	field("snoozes", number(m.SnoozeCount))
	field("deliveries", strconv.FormatInt(m.Fence, 10))
	field("reason", string(m.Reason))
	field("error class", m.ErrorClass)
	field("error", m.LastError)
	for _, a := range m.Attempts {
		fmt.Fprintf(w, "attempt %-5s %s  %s\n", strconv.Itoa(a.Number)+":", moment(a.At), line(a.Class+": "+a.Error))
		for text := range strings.Lines(a.Trace) {
			fmt.Fprintln(w, "    "+line(text))
		}
	}
	m.writeBody(w)
}

func (m message) statusText() string {
	text := string(m.Status)
	if m.WaitingFor != "" {
		text += ", waits for its " + m.WaitingFor
	}
	return text
}

// writeBody shows JSON indented, other text as it is, and anything else in base64.
func (m message) writeBody(w io.Writer) {
	body := m.Record.Body
	var indented bytes.Buffer
	switch {
	case m.Base64 == nil && json.Indent(&indented, body, "", "  ") == nil:
		fmt.Fprintf(w, "body:         %s, %d bytes\n", m.ContentType, len(body))
		body = indented.Bytes()
	case utf8.Valid(body) && !bytes.ContainsFunc(body, isControl):
		fmt.Fprintf(w, "body:         %s, %d bytes\n", m.ContentType, len(body))
	default:
		fmt.Fprintf(w, "body:         %s, %d bytes, in base64\n", m.ContentType, len(body))
		body = base64.StdEncoding.AppendEncode(nil, body)
	}
	for text := range strings.Lines(string(body)) {
		fmt.Fprintln(w, "    "+strings.TrimRight(text, "\r\n"))
	}
}

// isControl reports whether r could control a terminal; a line end cannot.
func isControl(r rune) bool {
	return r < 0x20 && r != '\n' && r != '\r' && r != '\t' || r >= 0x7f && r < 0xa0
}
