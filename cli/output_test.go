package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony/monitor"
)

// TestTableForPrograms: one row a line, one tab between columns, whatever is in the cells.
func TestTableForPrograms(t *testing.T) {
	var out strings.Builder
	s := &session{std: Streams{Out: &out}}
	s.write(table{{"A", "B"}, {"x\ty", "two\nlines\x1b"}, {"", "é"}})
	if diff := cmp.Diff("A\tB\nx y\ttwo lines�\n\té\n", out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestTableForPeople(t *testing.T) {
	got := table{{"NAME", "N"}, {"é\n", "1"}, {"longer", ""}}.aligned()
	if diff := cmp.Diff([]string{"NAME    N", "é       1", "longer"}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestLists(t *testing.T) {
	type item struct {
		N string `json:"n"`
	}
	for output, want := range map[format]string{
		formatJSON:  "[\n  {\n    \"n\": \"<1>\"\n  },\n  {\n    \"n\": \"2\"\n  }\n]\n",
		formatLines: "{\"n\":\"<1>\"}\n{\"n\":\"2\"}\n",
	} {
		var out strings.Builder
		s := &session{std: Streams{Out: &out}, output: output}
		if err := list(s, []item{{"<1>"}, {"2"}}, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", output, diff)
		}
	}
	rows := func(items []item) table {
		t := table{{"N"}}
		for _, i := range items {
			t = append(t, []string{i.N})
		}
		return t
	}
	for _, output := range []format{formatJSON, formatLines, formatTable} {
		for _, all := range [][]item{{{"<1>"}, {"2"}, {"3"}}, {}} {
			var whole, inParts strings.Builder
			if err := list(&session{std: Streams{Out: &whole}, output: output}, all, func() table { return rows(all) }); err != nil {
				t.Fatal(err)
			}
			p := parts[item]{s: &session{std: Streams{Out: &inParts}, output: output}, rows: rows}
			for _, one := range all {
				if err := errors.Join(p.add([]item{one}), p.add(nil)); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole.String(), inParts.String()); diff != "" {
				t.Errorf("%d items as %s in parts (-whole +parts):\n%s", len(all), &output, diff)
			}
		}
	}
	var out strings.Builder
	if err := list(&session{std: Streams{Out: &out}, output: formatJSON}, []item(nil), nil); err != nil || out.String() != "[]\n" {
		t.Errorf("no items: %q, %v", out.String(), err)
	}
}

// TestBody: JSON is shown as JSON only when it says so, is so, and is UTF-8.
func TestBody(t *testing.T) {
	for _, tt := range []struct {
		name, contentType, body, asJSON, asText string
	}{
		{"json", "application/json", `{"a":1.0}`, `"body":{"a":1.0}`, "{\n      \"a\": 1.0\n    }"},
		{"json with parameter", "application/json; charset=utf-8", `1`, `"body":1`, "1"},
		{"cloud event", "application/cloudevents+json", `{}`, `"body":{}`, "{}"},
		{"broken json", "application/json", `{`, `"body_base64":"ew=="`, "{"},
		{"json in Latin-1", "application/json", "\"\xe9\"", `"body_base64":"Iuki"`, "Iuki"},
		{"text", "text/plain", "1", `"body_base64":"MQ=="`, "1"},
		{"text with escapes", "text/plain", "\x1b[2J", `"body_base64":"G1sySg=="`, "G1sySg=="},
		{"no type", "", "a", `"body_base64":"YQ=="`, "a"},
		{"empty", "image/png", "", `"body_base64":""`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMessage(monitor.Record{ContentType: tt.contentType, Body: []byte(tt.body)})
			var coded, text strings.Builder
			if err := (&session{std: Streams{Out: &coded}, output: formatLines}).encode(m); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(coded.String(), ","+tt.asJSON+"}\n") {
				t.Errorf("json: %s, want it to end with %s", coded.String(), tt.asJSON)
			}
			m.writeBody(&text)
			_, shown, _ := strings.Cut(text.String(), "\n")
			if want := tt.asText; strings.TrimSpace(shown) != want {
				t.Errorf("text: %q, want %q", shown, want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{"short": "short", "exactly te": "exactly te", "more than ten": "more than…", "ééééééééééé": "ééééééééé…"} {
		if got := cut(in, 10); got != want {
			t.Errorf("cut(%q) = %q, want %q", in, got, want)
		}
	}
}
