package errtext_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/symphony-messenger/symphony/internal/errtext"
)

func TestCleanKeepsWhatFits(t *testing.T) {
	for _, s := range []string{"", "plain", "grüße, 世界", strings.Repeat("x", 64)} {
		if got := errtext.Clean(s, 64); got != s {
			t.Errorf("Clean(%q) = %q", s, got)
		}
	}
}

func TestCleanReplacesWhatNoStoreTakes(t *testing.T) {
	for in, want := range map[string]string{
		"a\x00b":                "a�b",
		"a\xffb":                "a�b",
		"lone \xed\xa0\x80 end": "lone � end", // a surrogate in UTF-8
		"cut \xe4\xb8":          "cut �",
	} {
		if got := errtext.Clean(in, 100); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCleanMarksTheCut(t *testing.T) {
	got := errtext.Clean(strings.Repeat("é", 1000), 101) // the limit is within a character
	if want := "… (2000 bytes in all)"; !strings.HasSuffix(got, want) || strings.Trim(strings.TrimSuffix(got, want), "é") != "" {
		t.Error(got)
	}
}

// Whatever bytes an error has: the text is UTF-8 without NUL within the limit, and what is fine
// already is not touched.
func TestCleanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		limit := rapid.IntRange(64, 256).Draw(t, "limit")
		got := errtext.Clean(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
			t.Fatalf("Clean(%q, %d) = %q", s, limit, got)
		}
		if len(s) <= limit && utf8.ValidString(s) && !strings.Contains(s, "\x00") && got != s {
			t.Fatalf("Clean(%q, %d) = %q", s, limit, got)
		}
		if again := errtext.Clean(got, limit); again != got {
			t.Fatalf("Clean(%q) = %q is not clean: %q", s, got, again)
		}
	})
}

type coded struct{ error }

func (coded) ErrorClass() string { return "smtp.550" }

type wrapper struct{ error }

func (w wrapper) Unwrap() error { return w.error }

type broken struct{ text string }

func (b *broken) Error() string { return b.text }
func (b *broken) Unwrap() error { return errors.New(b.text) }

func TestClass(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"text only", errors.New("x"), "error"},
		{"wrapped text", fmt.Errorf("a: %w", errors.New("x")), "error"},
		{"joined texts", errors.Join(errors.New("x"), errors.New("y")), "error"},
		{"a type", missing, "*fs.PathError"},
		{"a wrapped type", fmt.Errorf("a: %w", missing), "*fs.PathError"},
		{"the innermost of two types", wrapper{missing}, "*fs.PathError"},
		{"a type around a text", wrapper{errors.New("x")}, "errtext_test.wrapper"},
		{"the first branch that says something", errors.Join(errors.New("x"), missing, wrapper{errors.New("y")}), "*fs.PathError"},
		{"said by the error itself", fmt.Errorf("send: %w", coded{missing}), "smtp.550"},
		{"a nil pointer", fmt.Errorf("a: %w", (*broken)(nil)), "*fmt.wrapError"},
	} {
		if got := errtext.Class(tt.err); got != tt.want {
			t.Errorf("%s: class %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := errtext.Class(wrapper{errors.New("x")}, "errtext_test.wrapper"); got != "error" {
		t.Errorf("class of a wrapper that says nothing: %q", got)
	}
}

func TestTextOfABrokenError(t *testing.T) {
	if got := errtext.Of((*broken)(nil)); !strings.HasPrefix(got, "*errtext_test.broken, whose Error method panicked: ") {
		t.Error(got)
	}
	if got := errtext.Of(errors.New("plain")); got != "plain" {
		t.Error(got)
	}
}

func TestFingerprintGroupsWhatFailedAlike(t *testing.T) {
	fingerprint := func(text string) string { return errtext.Fingerprint("send", "error", text) }
	alike := [][2]string{
		{"user 7 not found", "user 12345 not found"},
		{`open "a.txt": no such file`, `open "b.txt": no such file`},
		{"no column `id`", "no column `name`"},
		{"order 0191d2c8-5b1f-7c3a-9a77-2f6f0b6f6a01 is gone", "order 0191d2c8-ffff-7c3a-9a77-2f6f0b6f6a02 is gone"},
		{"at 0xc000123abc", "at 0xc000ffffff"},
		{"commit deadbeefcafe", "commit 0123456789ab"},
	}
	for _, pair := range alike {
		if fingerprint(pair[0]) != fingerprint(pair[1]) {
			t.Errorf("%q and %q differ", pair[0], pair[1])
		}
	}
	if fingerprint("connection refused") == fingerprint("connection reset") {
		t.Error("different texts are one group")
	}
	seen := map[string]bool{}
	for _, parts := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "ab", "c"}} {
		seen[errtext.Fingerprint(parts[0], parts[1], parts[2])] = true
	}
	if len(seen) != 4 {
		t.Error("type, class and text run into each other")
	}
	// Stored fingerprints group with new ones only while this stays as it is.
	if got, want := errtext.Fingerprint("send_welcome", "error", "user 7 not found"), "fade232548e83ca93974c8e120e46d1f7019d2e6103187d2b8a25769bfb0b774"; got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}
