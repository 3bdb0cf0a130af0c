package symphony_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/symphony-messenger/symphony"
)

// The saved inputs of these targets are in testdata/fuzz: plain `go test` runs them.

// profile has a field of each kind that JSON knows.
type profile struct {
	Name    string            `json:"name"`
	Age     int8              `json:"age"`
	Score   float64           `json:"score"`
	Active  *bool             `json:"active"`
	Created time.Time         `json:"created"`
	Labels  map[string]string `json:"labels"`
	Friends []profile         `json:"friends"`
	Picture []byte            `json:"picture"`
	Any     any               `json:"any"`
	Raw     json.RawMessage   `json:"raw"`
}

func (*profile) MessageType() string { return "test.profile" }

// Whatever arrives as a body: it is refused with a clear error, or kept to the byte; and a handler
// gets it decoded, or it is a dead letter at once. Nothing panics.
func FuzzEnvelopeDecode(f *testing.F) {
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		raw := symphony.Raw{Type: "test.profile", ContentType: contentType, Body: body}
		r := newRecorder()
		_, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), raw)
		sent := r.sent()
		says := contentType == "" || contentType == "application/json"
		switch {
		case err == nil && len(sent) == 1:
			if !bytes.Equal(sent[0].Body, body) || says && !(json.Valid(body) && utf8.Valid(body)) {
				t.Fatalf("sent %q for %q as %q", sent[0].Body, body, contentType)
			}
		case err != nil && len(sent) == 0:
			_, invalid := errors.AsType[*symphony.InvalidError](err)
			if !invalid && !errors.Is(err, symphony.ErrTooLarge) || !utf8.ValidString(err.Error()) {
				t.Fatalf("refused with %q", err)
			}
			if says && json.Valid(body) && utf8.Valid(body) && len(body) <= 256<<10 {
				t.Fatalf("%q is refused: %v", body, err)
			}
		default:
			t.Fatalf("%d sent, error %v", len(sent), err)
		}
		openProfile(t, raw)
	})
}

// openProfile hands raw to a handler of profiles.
func openProfile(t *testing.T, raw symphony.Raw) {
	bus := new(symphony.Bus)
	var got *profile
	symphony.Handle(bus, func(_ context.Context, m *profile) error { got = m; return nil })
	_, err := bus.Dispatch(t.Context(), raw)
	if _, invalid := errors.AsType[*symphony.InvalidError](err); invalid && got == nil {
		return
	}
	o, _, decided := symphony.OutcomeOf(err)
	if handled := got != nil; !decided || handled != (o == symphony.Completed) || !handled && o != symphony.Failed {
		t.Fatalf("handled: %v, error %v asks for %s", handled, err, o)
	}
	if got == nil {
		return
	}
	// What was decoded once survives every further trip.
	var again *profile
	symphony.On(bus, "again", func(_ context.Context, m *profile) error { again = m; return nil })
	r := newRecorder()
	if _, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), got); err != nil {
		if _, ok := errors.AsType[*json.MarshalerError](err); ok || errors.Is(err, symphony.ErrTooLarge) {
			return // a year that JSON cannot write, or text that grew when it was escaped
		}
		t.Fatalf("what was decoded cannot be sent: %v", err)
	}
	if _, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.profile", Body: r.one(t).Body}); err != nil {
		t.Fatalf("what was sent cannot be decoded: %v", err)
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(again)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Fatalf("%s became %s (%v, %v)", a, b, errA, errB)
	}
}

// S16, written down a second time.
func validHeader(name, value string) bool {
	grammar := regexp.MustCompile(`\A[a-z0-9][a-z0-9-]{0,63}\z`)
	reserved := slices.ContainsFunc([]string{"symphony-", "webhook-", "ce-"}, func(p string) bool { return strings.HasPrefix(name, p) })
	return grammar.MatchString(name) && !reserved && len(value) <= 4096 && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
}

// A header is refused, or travels as it is.
func FuzzHeader(f *testing.F) {
	f.Fuzz(func(t *testing.T, name, value string) {
		r := newRecorder()
		_, err := (&symphony.Bus{Transport: r}).Dispatch(t.Context(), greet{}, symphony.Header(name, value))
		if ok := err == nil; ok != validHeader(name, value) {
			t.Fatalf("%q: %q: %v", name, value, err)
		}
		if err != nil {
			if _, ok := errors.AsType[*symphony.InvalidError](err); !ok || !utf8.ValidString(err.Error()) {
				t.Fatalf("refused with %q", err)
			}
			return
		}
		if got := r.one(t).Headers; len(got) != 1 || got[name] != value {
			t.Fatalf("%q: %q became %v", name, value, got)
		}
	})
}

// The grammar of names is what the documentation says.
func FuzzName(f *testing.F) {
	names := regexp.MustCompile(`\A[a-z0-9][a-z0-9_.-]{0,62}\z`)
	types := regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if err := symphony.CheckName("queue", s); (err == nil) != names.MatchString(s) {
			t.Fatalf("name %q: %v", s, err)
		}
		if err := symphony.CheckType(s); (err == nil) != types.MatchString(s) {
			t.Fatalf("type %q: %v", s, err)
		}
		if (symphony.CheckName("queue", s) == nil) && symphony.CheckType(s) != nil {
			t.Fatalf("%q is a name and no type", s)
		}
	})
}

// An id is refused, or is the one that was meant.
func FuzzParseID(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		id, err := symphony.ParseID(s)
		if err == nil && id.String() != strings.ToLower(s) || err != nil && !id.IsZero() {
			t.Fatalf("%q became %v, %v", s, id, err)
		}
	})
}
