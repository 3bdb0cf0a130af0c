package proof

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// TestHostileInputs: whatever somebody puts wherever into a message, it is either refused with an error that says why, and nothing is stored, or
// it comes out as it went in: of the store, of its records and views, by SQL, and by the command line.
func TestHostileInputs(t *testing.T) {
	all := corpus()
	if len(all) < 500 {
		t.Fatalf("%d inputs, want 500 or more", len(all))
	}
	program := build(t)
	taken := make(map[string]map[input]bool)
	run := func(t *testing.T, name string, s symphony.Transport, view func(symphony.ID) (row, error)) map[input]symphony.ID {
		t.Helper()
		h := &hostiles{t: t, store: s, view: view, ids: make(map[input]symphony.ID)}
		taken[name] = make(map[input]bool)
		for _, in := range all {
			_, taken[name][in] = h.dispatch(in)
		}
		return h.ids
	}
	run(t, "memory", new(memory.Transport), nil)
	eachStore(t, func(t *testing.T, s store) {
		view := newView(t, s.dsn)
		run(t, s.name(), s, view.row)
		for in, want := range taken["memory"] {
			if got := taken[s.name()][in]; got != want {
				t.Errorf("%v: taken %t, by the store in memory %t", in, got, want)
			}
		}
		if view.pg != nil {
			view.bySQL(s, taken["memory"])
		}
		byCommand(t, program, s, taken["memory"])
	})
	t.Logf("%d inputs, of which %d are taken", len(all), len(slices.DeleteFunc(slices.Collect(maps.Values(taken["memory"])), func(ok bool) bool { return !ok })))
}

// A row is what a view or a record says of a message.
type row struct {
	Type, Queue, ContentType, Key, Group string
	Headers                              map[string]string
	Tags                                 []string
	Body                                 []byte
	BodyJSON                             *string // of a view
	Error                                string
}

type hostiles struct {
	t     *testing.T
	store symphony.Transport
	view  func(symphony.ID) (row, error)
	ids   map[input]symphony.ID
}

// want is the row of a message that was taken.
func want(in input) row {
	w := row{Type: "hostile", Queue: "default", ContentType: "application/json", Body: []byte("{}")}
	switch in.field {
	case bodyJSON:
		w.Body = []byte(in.value)
	case bodyBytes:
		w.ContentType, w.Body = "application/octet-stream", []byte(in.value)
	case contentType:
		w.ContentType = cmp.Or(in.value, w.ContentType)
	case typeName:
		w.Type = in.value
	case queueName:
		w.Queue = in.value
	case headerName:
		w.Headers = map[string]string{in.value: "value"}
	case headerValue:
		w.Headers = map[string]string{"name": in.value}
	case tagText:
		w.Tags = []string{in.value, "second"}
	case keyText:
		w.Key = in.value
	case groupText:
		w.Group = in.value
	case errorText:
		w.Error = symphony.NewFailure(errors.New(in.value)).Error
	}
	return w
}

func (h *hostiles) dispatch(in input) (symphony.ID, bool) {
	h.t.Helper()
	ctx := h.t.Context()
	m, stamps := in.message()
	before := count(h.t, h.store)
	r, err := (&symphony.Bus{Transport: h.store}).Dispatch(ctx, m, stamps...)
	if err != nil {
		h.refused(in, err, before)
		return r.ID, false
	}
	h.ids[in] = r.ID
	w := want(in)
	receive, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ds, err := h.store.Receive(receive, symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: w.Queue}}, Max: 1, Lease: time.Minute})
	if err != nil || ds[0].Envelope.ID != r.ID {
		h.t.Fatalf("%v: claim it: %v, %v", in, ds, err)
	}
	env := ds[0].Envelope
	h.same(in, "delivered", w, row{
		Type: env.Type, Queue: env.Queue, ContentType: env.ContentType, Key: env.Key, Group: env.Group, Headers: env.Headers, Tags: env.Tags,
		Body: env.Body, Error: w.Error,
	})
	v := symphony.Verdict{Token: ds[0].Token, Outcome: symphony.Completed}
	if in.field == errorText {
		v.Outcome, v.Reason, v.Failure = symphony.Failed, symphony.ReasonPermanent, symphony.NewFailure(errors.New(in.value))
	}
	if err := h.store.Settle(ctx, []symphony.Verdict{v}); err != nil {
		h.t.Fatalf("%v: settle it: %v", in, err)
	}
	finder, _ := symphony.As[monitor.Finder](h.store)
	rec, err := finder.Find(ctx, r.ID)
	if err != nil {
		h.t.Fatalf("%v: find it: %v", in, err)
	}
	h.same(in, "found", w, recordRow(rec))
	if h.view != nil {
		got, err := h.view(r.ID)
		if err != nil {
			h.t.Fatalf("%v: read it by the view: %v", in, err)
		}
		if isJSON := w.ContentType == "application/json"; isJSON != (got.BodyJSON != nil) || isJSON && *got.BodyJSON != string(w.Body) {
			h.t.Errorf("%v: the view has another body as JSON: %.100q", in, text(got.BodyJSON))
		}
		got.BodyJSON = nil
		h.same(in, "in the view", w, got)
	}
	return r.ID, true
}

func recordRow(r monitor.Record) row {
	return row{
		Type: r.Type, Queue: r.Queue, ContentType: r.ContentType, Key: r.Key, Group: r.Group, Headers: r.Headers, Tags: r.Tags, Body: r.Body, Error: r.LastError,
	}
}

func text(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}

func (h *hostiles) same(in input, where string, w, got row) {
	h.t.Helper()
	if len(got.Headers) == 0 {
		got.Headers = nil
	}
	if len(got.Tags) == 0 {
		got.Tags = nil
	}
	if len(got.Body) == 0 {
		got.Body = []byte{}
	}
	a, _ := json.Marshal(w) // bodies as base64; texts are valid UTF-8, or would not have been taken
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		h.t.Errorf("%v: %s it is %.300s, want %.300s", in, where, b, a)
	}
}

// refused requires an error that says what is wrong and can be shown, and that nothing was stored.
func (h *hostiles) refused(in input, err error, before int64) {
	h.t.Helper()
	_, invalid := errors.AsType[*symphony.InvalidError](err)
	if !invalid && !errors.Is(err, symphony.ErrTooLarge) {
		h.t.Errorf("%v: refused with %T, %v; want an InvalidError or ErrTooLarge", in, err, err)
	}
	if said := err.Error(); !utf8.ValidString(said) || strings.ContainsFunc(said, unicode.IsControl) || len(said) > 1000 {
		h.t.Errorf("%v: the error cannot be shown: %.200q", in, said)
	}
	if after := count(h.t, h.store); after != before {
		h.t.Errorf("%v: it is refused (%v), and there are %d messages more", in, err, after-before)
	}
}

func count(t *testing.T, s symphony.Transport) (n int64) {
	t.Helper()
	counter, _ := symphony.As[monitor.Counter](s)
	counts, err := counter.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts.Counts {
		n += c.N
	}
	return n
}
