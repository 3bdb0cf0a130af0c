package cli

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Second, "0.5": 500 * time.Millisecond, "0": 0, "1h30m": 90 * time.Minute, "10ms": 10 * time.Millisecond, "-5s": -5 * time.Second, "7d": 7 * 24 * time.Hour,
	} {
		var d duration
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%q is %v, %v; want %v", text, time.Duration(d), err, want)
		}
	}
	for _, text := range []string{"", "soon", "1y", "NaN", "Inf", "1e300", "-1e300", "1h 2m"} {
		if err := new(duration).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1048576": 1 << 20, "128M": 128 << 20, "2G": 2 << 30, "1k": 1 << 10, "256KiB": 256 << 10, "1T": 1 << 40, "8388607T": math.MaxInt64 &^ (1<<40 - 1),
	} {
		var n size
		if err := n.Set(text); err != nil || int64(n) != want {
			t.Errorf("%q is %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "M", "0", "-1M", "1.5G", "128MB", "8388608T", "99999999999999999999"} {
		if err := new(size).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestCount(t *testing.T) {
	var n count
	if err := n.Set("7"); err != nil || n != 7 {
		t.Errorf("7 is %d, %v", n, err)
	}
	for _, text := range []string{"", "0", "-1", "1.5", "x"} {
		if err := new(count).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestPast(t *testing.T) {
	var p past
	if err := p.Set("2026-01-31T09:00:00+01:00"); err != nil || !p.Equal(time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("got %v, %v", p.Time, err)
	}
	before := time.Now().Add(-90 * time.Minute)
	if err := p.Set("90m"); err != nil || p.Before(before) || p.After(time.Now().Add(-90*time.Minute)) {
		t.Errorf("90m ago is %v, %v", p.Time, err)
	}
	for _, text := range []string{"", "-5m", "yesterday", "2026-01-31", "300000-01-01T00:00:00Z"} {
		if err := new(past).Set(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestParseServed: names of queues and of transports, in strict order or with weights.
func TestParseServed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "symphony.yaml")
	yaml := "transport: main\ntransports:\n  main: sqlite://a.db\n  archive: sqlite://b.db\n"
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{File: file, Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args, queues, want string // of want: the transports with their queues; "!" and a part of the error
		all, strict        bool
	}{
		{"", "", "main", false, true},
		{"high low", "", "main(high 0, low 0)", false, true},
		{"high low=3", "", "main(high 0, low 3)", false, false},
		{"archive", "", "archive", false, true},
		{"archive main", "", "archive main", false, true},
		{"archive high", "", "archive main(high 0)", false, true},
		{"archive:x archive:y high", "", "archive(x 0, y 0) main(high 0)", false, true},
		{"main:main", "", "main(main 0)", false, true},
		{"archive", "x,y", "archive(x 0, y 0)", false, true},
		{"high", "low", "main(high 0, low 0)", false, true},
		{"", "", "main archive", true, true},
		{"main main:mail", "", "!main is a transport, of which single queues are named as well", false, false},
		{"main mail", "", "!main is a transport, of which", false, false},
		{"archive archive", "", "!named twice", false, false},
		{"high high", "", "!named twice", false, false},
		{"nope:high", "", `!there is no transport "nope"`, false, false},
		{"archive main", "x", "!belong to one transport", false, false},
		{"Up", "", "!invalid queue", false, false},
		{"high=0", "", "!its weight must be", false, false},
		{"high", "", "!--all leaves nothing", true, false},
	} {
		s := &session{config: c}
		v, err := s.parseServed(strings.Fields(tt.args), strings.FieldsFunc(tt.queues, func(r rune) bool { return r == ',' }), tt.all, s.mustBeShared)
		got := ""
		if err != nil {
			got = "!" + err.Error()
		} else {
			got = v.String()
		}
		if got != tt.want && !(strings.HasPrefix(tt.want, "!") && strings.Contains(got, tt.want[1:])) || err == nil && v.strict != tt.strict {
			t.Errorf("%q, queues %q: %s, want %s", tt.args, tt.queues, got, tt.want)
		}
	}
}

// TestServed: queues that are named are those of the configuration, with the weight of the argument.
func TestServed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "symphony.yaml")
	yaml := "transport: main\ntransports:\n  main: {dsn: memory://, queues: {mail: {weight: 2, concurrency: 5}, low: 1}}\n  archive: memory://\n"
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Sources{File: file, Lookup: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                "main: mail 2 5, low 1 0, by weight",
		"mail=7 other":    "main: mail 7 5, other 0 0, by weight",
		"mail low":        "main: mail 0 5, low 0 0, in order",
		"archive mail":    "archive: by weight; main: mail 0 5, in order",
		"archive:x=1 low": "archive: x 1 0, by weight; main: low 0 0, by weight",
	} {
		a, err := app.New(t.Context(), app.Options{Config: c})
		if err != nil {
			t.Fatal(err)
		}
		v, err := (&session{config: c}).parseServed(strings.Fields(args), nil, false, func(config.Transport) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := v.apply(a); err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, w := range a.Workers() {
			text := v.all[i].transport + ": "
			for _, q := range w.Queues {
				text += fmt.Sprintf("%s %d %d, ", q.Name, q.Weight, q.Concurrency)
			}
			got = append(got, text+map[bool]string{true: "in order", false: "by weight"}[w.Strict])
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%q serves %s, want %s", args, text, want)
		}
	}
}

// String is what tests compare.
func (v *serving) String() string {
	var all []string
	for _, of := range v.all {
		var queues []string
		for _, q := range of.queues {
			queues = append(queues, fmt.Sprintf("%s %d", q.Name, q.Weight))
		}
		text := of.transport
		if len(queues) > 0 {
			text += "(" + strings.Join(queues, ", ") + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}
