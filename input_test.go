package symphony_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

func TestStampsRefuseBadInput(t *testing.T) {
	long := strings.Repeat("x", 5<<10)
	for _, tt := range []struct {
		stamp symphony.Stamp
		what  string
	}{
		{symphony.Queue(""), "queue"},
		{symphony.Queue("Mail"), "queue"},
		{symphony.Queue("-mail"), "queue"},
		{symphony.Queue("mail\n"), "queue"},
		{symphony.Queue("mäil"), "queue"},
		{symphony.Queue(long[:64]), "queue"},
		{symphony.Priority(0), "priority"},
		{symphony.Priority(11), "priority"},
		{symphony.Priority(-1), "priority"},
		{symphony.Delay(-1), "delay"},
		{symphony.At(time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)), "time"},
		{symphony.At(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)), "time"},
		{symphony.At(time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)), "time"},
		{symphony.At(time.Time{}), "time"},
		{symphony.Expires(0), "expiry"},
		{symphony.Expires(-time.Hour), "expiry"},
		{symphony.IdempotencyKey("", time.Hour), "idempotency key"},
		{symphony.IdempotencyKey(long[:256], time.Hour), "idempotency key"},
		{symphony.IdempotencyKey("a\x00b", time.Hour), "idempotency key"},
		{symphony.IdempotencyKey("a\xff", time.Hour), "idempotency key"},
		{symphony.IdempotencyKey("k", -1), "idempotency window"},
		{symphony.Group(""), "group"},
		{symphony.Group(long[:256]), "group"},
		{symphony.Group("a\x00"), "group"},
		{symphony.MaxRetries(-1), "max retries"},
		{symphony.Header("", "v"), "header name"},
		{symphony.Header("Tenant", "v"), "header name"},
		{symphony.Header("-tenant", "v"), "header name"},
		{symphony.Header("ten_ant", "v"), "header name"},
		{symphony.Header(long[:65], "v"), "header name"},
		{symphony.Header("symphony-tenant", "v"), "header name"},
		{symphony.Header("webhook-id", "v"), "header name"},
		{symphony.Header("ce-type", "v"), "header name"},
		{symphony.Header(symphony.HeaderCorrelation, "v"), "header name"},
		{symphony.Header(symphony.HeaderCausation, "v"), "header name"},
		{symphony.Header("h", long[:4097]), "value of header h"},
		{symphony.Header("h", "a\nb"), "value of header h"},
		{symphony.Header("h", "a\x00"), "value of header h"},
		{symphony.Header("h", "a\x7f"), "value of header h"},
		{symphony.Header("h", "a\u0085"), "value of header h"},
		{symphony.Header("h", "a\xff"), "value of header h"},
		{symphony.Tag(""), "tag"},
		{symphony.Tag("fine", long[:65]), "tag"},
		{symphony.Tag("a\tb"), "tag"},
		{symphony.Tag("\xed\xa0\x80"), "tag"},
	} {
		err := refused(t, greet{}, tt.stamp)
		invalidly(t, err, tt.what)
		if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x00\n") {
			t.Errorf("the error is unfit for a log: %q", err)
		}
	}
}

func TestStampsTakeWhatIsJustGoodEnough(t *testing.T) {
	long := strings.Repeat("x", 4<<10)
	for i, stamp := range []symphony.Stamp{
		symphony.Queue(long[:63]), symphony.Queue("0"), symphony.Queue("a_b.c-d"),
		symphony.Priority(1), symphony.Priority(10),
		symphony.Delay(0), symphony.Delay(math.MaxInt64), symphony.At(time.Unix(0, 0)),
		symphony.At(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)),
		symphony.Expires(1), symphony.IdempotencyKey(long[:255], 0), symphony.IdempotencyKey("a\nb", aDay), symphony.Group(long[:255]), symphony.MaxRetries(0),
		symphony.Header(long[:64], long), symphony.Header("0", ""), symphony.Header("h", "grüße 世界"),
		symphony.Tag(long[:64], "ü"), symphony.Tag(),
	} {
		if _, err := (&symphony.Bus{Transport: newRecorder()}).Dispatch(t.Context(), greet{}, stamp); err != nil {
			t.Errorf("stamp %d: %v", i, err)
		}
	}
}

// S16: 64 headers, 16 KiB together, 16 tags.
func TestLabelsTogether(t *testing.T) {
	headers := func(n, bytes int) (all []symphony.Stamp) {
		for i := range n {
			all = append(all, symphony.Header(fmt.Sprintf("h-%02d", i), strings.Repeat("v", bytes-4)))
		}
		return all
	}
	tags := func(n int) (all []symphony.Stamp) {
		for i := range n {
			all = append(all, symphony.Tag(fmt.Sprint(i)))
		}
		return all
	}
	for _, tt := range []struct {
		stamps []symphony.Stamp
		what   string
	}{
		{headers(65, 4), "number of headers"},
		{append(headers(4, 4096), symphony.Header("x", "")), "size of headers"},
		{tags(17), "number of tags"},
	} {
		invalidly(t, refused(t, greet{}, tt.stamps...), tt.what)
	}
	if env := stored(t, greet{}, append(headers(4, 4096), tags(16)...)...); len(env.Headers) != 4 || len(env.Tags) != 16 {
		t.Errorf("%d headers, %d tags", len(env.Headers), len(env.Tags))
	}
	if env := stored(t, greet{}, headers(64, 256)...); len(env.Headers) != 64 {
		t.Errorf("%d headers", len(env.Headers))
	}
}

func TestTypeNames(t *testing.T) {
	for _, name := range []string{"a", "Z", "0", "user.created", `App/Message:Welcome_v2-x`, strings.Repeat("x", 128)} {
		if env := stored(t, named{name}); env.Type != name {
			t.Errorf("%q became %q", name, env.Type)
		}
	}
	for _, name := range []string{"", " a", "a ", ".a", "a b", "a\n", "a\x00", "ü", `App\Message`, "a*", strings.Repeat("x", 129)} {
		err := refused(t, named{name})
		invalidly(t, err, "message type")
		if strings.ContainsAny(err.Error(), "\x00\n") {
			t.Errorf("the error is unfit for a log: %q", err)
		}
	}
}

func TestNoMessage(t *testing.T) {
	for name, m := range map[string]symphony.Message{
		"nil":                   nil,
		"nil pointer":           (*created)(nil),
		"wrapped nil":           symphony.Wrap(nil),
		"twice wrapped nil":     symphony.Wrap(symphony.Wrap((*created)(nil), symphony.Priority(1))),
		"nil pointer to struct": (*greet)(nil),
	} {
		t.Run(name, func(t *testing.T) { invalidly(t, refused(t, m), "message") })
	}
}

func TestValidate(t *testing.T) {
	if err := refused(t, &created{-1}); !strings.Contains(err.Error(), errNegative.Error()) {
		t.Error(err)
	}
	bus := new(symphony.Bus)
	symphony.Handle(bus, func(context.Context, *created) error { t.Error("an invalid message was handled"); return nil })
	if _, err := bus.Dispatch(t.Context(), &created{-1}); err == nil {
		t.Error("an invalid message was accepted in place")
	}
	// What came as bytes has met no Go code yet.
	_, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.created", Body: []byte(`{"id":-1}`)})
	if err == nil || !strings.Contains(err.Error(), "validate test.created: "+errNegative.Error()) {
		t.Error(err)
	}
}

// What middleware and stamps of users put into the envelope is held to the same rules.
func TestEnvelopeIsCheckedAfterAll(t *testing.T) {
	minus := -1
	for what, change := range map[string]func(*symphony.Envelope){
		"message type":            func(e *symphony.Envelope) { e.Type = "no name" },
		"queue":                   func(e *symphony.Envelope) { e.Queue = "" },
		"priority":                func(e *symphony.Envelope) { e.Priority = 0 },
		"time":                    func(e *symphony.Envelope) { e.At = time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"delay, expiry or window": func(e *symphony.Envelope) { e.Window = -1 },
		"max retries":             func(e *symphony.Envelope) { e.MaxRetries = &minus },
		"idempotency key":         func(e *symphony.Envelope) { e.Key = "\xff" },
		"group":                   func(e *symphony.Envelope) { e.Group = "\x00" },
		"header name":             func(e *symphony.Envelope) { e.Headers = map[string]string{"A": ""} },
		"value of header tenant":  func(e *symphony.Envelope) { e.Headers = map[string]string{"tenant": "\n"} },
		"tag":                     func(e *symphony.Envelope) { e.Tags = []string{""} },
		"number of tags":          func(e *symphony.Envelope) { e.Tags = make([]string, 17) },
	} {
		invalidly(t, refused(t, greet{}, func(e *symphony.Envelope) error { change(e); return nil }), what)

		r := newRecorder()
		bus := &symphony.Bus{Transport: r, Sending: []symphony.Middleware{func(next symphony.Handler) symphony.Handler {
			return func(ctx context.Context, env *symphony.Envelope) error { change(env); return next(ctx, env) }
		}}}
		_, err := bus.Dispatch(t.Context(), greet{})
		invalidly(t, err, what)
		if len(r.calls) > 0 {
			t.Errorf("%s was sent", what)
		}
	}
}

func TestContentTypeIsChecked(t *testing.T) {
	for _, bad := range []string{"text/plain\n", "a\x00b", "\xff", strings.Repeat("x", 256)} {
		invalidly(t, refused(t, symphony.Raw{Type: "t", ContentType: bad, Body: []byte("x")}), "content type")
	}
}

func TestCheckNameSaysWhatWasMeant(t *testing.T) {
	err := symphony.CheckName("schedule", "Nightly!")
	invalidly(t, err, "schedule")
	if got, want := err.Error(), `invalid schedule "Nightly!": must be [a-z0-9][a-z0-9_.-]{0,62}`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := symphony.CheckName("schedule", "nightly"); err != nil {
		t.Error(err)
	}
}

func TestInvalidErrorIsShort(t *testing.T) {
	err := &symphony.InvalidError{What: "queue", Value: strings.Repeat("x", 1000), Rule: "short"}
	if got, want := err.Error(), `invalid queue "`+strings.Repeat("x", 80)+`": must be short`; got != want {
		t.Errorf("%q", got)
	}
}
