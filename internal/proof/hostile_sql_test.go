package proof

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	_ "modernc.org/sqlite" // the driver of the views
)

func (s store) name() string {
	scheme, _, _ := strings.Cut(s.dsn, ":")
	return scheme
}

// A view reads messages as SQL users do.
type view struct {
	t      *testing.T
	lite   *sql.DB   // nil: PostgreSQL
	pg     *pgx.Conn // nil: SQLite
	schema string
}

func newView(t *testing.T, dsn string) *view {
	t.Helper()
	v := &view{t: t}
	if path, ok := strings.CutPrefix(dsn, "sqlite://"); ok {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		v.lite = db
		return v
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	v.schema = q.Get("schema")
	q.Del("schema")
	u.RawQuery = q.Encode()
	if v.pg, err = pgx.Connect(t.Context(), u.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.pg.Close(t.Context()) })
	return v
}

const columns = "message_type, queue_name, content_type, coalesce(idempotency_key, ''), coalesce(group_key, ''), coalesce(last_error, ''), headers, tags, body, body_json"

func (v *view) row(id symphony.ID) (r row, err error) {
	var headers, tags []byte
	into := []any{&r.Type, &r.Queue, &r.ContentType, &r.Key, &r.Group, &r.Error, &headers, &tags, &r.Body, &r.BodyJSON}
	if v.lite != nil {
		err = v.lite.QueryRowContext(v.t.Context(), "select "+columns+" from messenger_overview where id = ?", id.String()).Scan(into...)
	} else {
		text := strings.NewReplacer(" tags,", " to_json(tags)::text,", "headers,", "headers::text,", "body_json", "body_json::text").Replace(columns)
		err = v.pg.QueryRow(v.t.Context(), "select "+text+" from "+v.schema+".messenger_overview where id = $1::text::uuid", id.String()).Scan(into...)
	}
	if err != nil {
		return r, err
	}
	if headers != nil {
		err = json.Unmarshal(headers, &r.Headers)
	}
	if err == nil && tags != nil {
		err = json.Unmarshal(tags, &r.Tags)
	}
	return r, err
}

// byCommand puts a part of the corpus through the command line: all of it takes a process each.
func byCommand(t *testing.T, program string, s store, taken map[input]bool) {
	t.Helper()
	command := func(in []byte, args ...string) (string, string, error) {
		var out, said bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, append([]string{"--dsn", s.dsn}, args...)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
		err := cmd.Run()
		return out.String(), said.String(), err
	}
	for i, in := range corpus() {
		if i%*every != 0 || in.field == errorText || len(in.value) > 100<<10 && in.field != bodyJSON && in.field != bodyBytes {
			continue
		}
		if strings.Contains(in.value, "\x00") && in.field != bodyJSON && in.field != bodyBytes {
			continue // no argument of a process
		}
		args, body := arguments(in)
		before := count(t, s)
		out, said, err := command(body, args...)
		ok := taken[in]
		if in.field == headerName && strings.Contains(in.value, "=") {
			ok = true // name and value are told apart there
			continue
		}
		if (err == nil) != ok {
			t.Errorf("%v: the command line: %v, %s; taken otherwise: %t", in, err, said, ok)
			continue
		}
		if !ok {
			if after := count(t, s); said == "" || strings.Contains(said, "panic") || after != before {
				t.Errorf("%v: the command line says %q and stores %d", in, said, after-before)
			}
			continue
		}
		out, said, err = command(nil, "messages", "show", strings.TrimSpace(out), "-o", "json")
		if err != nil {
			t.Errorf("%v: show it: %v, %s", in, err, said)
			continue
		}
		var shown struct {
			monitor.Record
			Body   json.RawMessage `json:"body"`
			Base64 []byte          `json:"body_base64"`
		}
		if err := json.Unmarshal([]byte(out), &shown); err != nil {
			t.Errorf("%v: it is shown as %.200q: %v", in, out, err)
			continue
		}
		shown.Record.Body = shown.Base64
		w := want(in)
		if shown.Body != nil { // shown indented
			var a, b bytes.Buffer
			if json.Compact(&a, shown.Body) != nil || json.Compact(&b, w.Body) != nil || a.String() != b.String() {
				t.Errorf("%v: its body is shown as %.200s", in, shown.Body)
			}
			shown.Record.Body = w.Body
		}
		(&hostiles{t: t}).same(in, "shown", w, recordRow(shown.Record))
	}
}

// arguments are those of the command that dispatches an input.
func arguments(in input) (args []string, body []byte) {
	m, _ := in.message()
	args = []string{"dispatch"}
	flag := func(name, value string) { args = append(args, fmt.Sprintf("--%s=%s", name, value)) }
	switch in.field {
	case bodyBytes, contentType:
		flag("content-type", m.ContentType)
	case queueName:
		flag("queue", in.value)
	case headerName:
		flag("header", in.value+"=value")
	case headerValue:
		flag("header", "name="+in.value)
	case tagText:
		flag("tag", in.value)
		flag("tag", "second")
	case keyText:
		flag("key", in.value)
		flag("window", "0s")
	case groupText:
		flag("group", in.value)
	}
	return append(args, "--", m.Type, "-"), m.Body
}

// bySQL puts the corpus through symphony.dispatch_bytes, which has the same rules as Go.
func (v *view) bySQL(s store, taken map[input]bool) {
	v.t.Helper()
	h := &hostiles{t: v.t}
	for _, in := range corpus() {
		if in.field == errorText {
			continue
		}
		w := want(in)
		var id string
		headers, err := json.Marshal(w.Headers)
		if err != nil {
			v.t.Fatal(err)
		}
		if len(w.Headers) == 0 {
			headers = nil
		}
		var key, group *string
		if in.field == keyText {
			key = &in.value
		}
		if in.field == groupText {
			group = &in.value
		}
		if (in.field == headerName || in.field == headerValue) && !utf8.ValidString(in.value) {
			continue // json.Marshal has made it valid
		}
		before := count(v.t, s)
		err = v.pg.QueryRow(v.t.Context(), "select id from "+v.schema+`.dispatch_bytes(type => $1, body => $2, content_type => $3, queue => $4,
			idempotency_key => $5, key_window => '0', group_key => $6, headers => $7::text::jsonb, tags => $8::text[])`,
			w.Type, w.Body, w.ContentType, w.Queue, key, group, nullable(headers), w.Tags).Scan(&id)
		if (err == nil) != taken[in] {
			v.t.Errorf("%v: by SQL: %v; taken by Go: %t", in, err, taken[in])
			continue
		}
		if err != nil {
			if after := count(v.t, s); after != before {
				v.t.Errorf("%v: by SQL it is refused (%v), and there are %d messages more", in, err, after-before)
			}
			continue
		}
		parsed, err := symphony.ParseID(id)
		if err != nil {
			v.t.Fatal(err)
		}
		got, err := v.row(parsed)
		if err != nil {
			v.t.Fatalf("%v: sent by SQL, and not in the view: %v", in, err)
		}
		got.BodyJSON = nil
		h.same(in, "sent by SQL", w, got)
	}
}

func nullable(text []byte) *string {
	if text == nil {
		return nil
	}
	s := string(text)
	return &s
}
