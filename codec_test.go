package symphony_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/symphony-messenger/symphony"
)

// Promise 7: the bytes that were sent are the bytes delivered.
func TestRawBodiesAreKept(t *testing.T) {
	for name, raw := range map[string]symphony.Raw{
		"spaces and order":      {Body: []byte("{ \"b\":1,\n \"a\": 1.0e+2 , \"a\":2}\n")},
		"a lone surrogate":      {Body: []byte(`"\ud800"`)},
		"an escaped NUL":        {Body: []byte(`"\u0000"`)},
		"a big number":          {Body: []byte(`12345678901234567890.123456789012345678901234567890`)},
		"JSON by name":          {ContentType: "application/json", Body: []byte("null")},
		"NUL bytes":             {ContentType: "application/octet-stream", Body: []byte("\x00\x01\xff\x00")},
		"a surrogate in UTF-8":  {ContentType: "text/plain", Body: []byte("\xed\xa0\x80")},
		"broken JSON in text":   {ContentType: "text/plain", Body: []byte("{")},
		"nothing":               {ContentType: "text/plain", Body: []byte{}},
		"content type with set": {ContentType: "text/plain; charset=utf-8", Body: []byte("ü")},
	} {
		raw.Type = "test.raw"
		sent := stored(t, raw)
		if !bytes.Equal(sent.Body, raw.Body) {
			t.Errorf("%s: %q became %q", name, raw.Body, sent.Body)
		}
		if want := raw.ContentType; sent.ContentType != want && (want != "" || sent.ContentType != "application/json") {
			t.Errorf("%s: content type %q", name, sent.ContentType)
		}
	}
}

// S26: a body that says it is JSON is JSON, wherever it goes.
func TestBrokenJSONIsRefused(t *testing.T) {
	inPlace := new(symphony.Bus)
	symphony.HandleRaw(inPlace, "test.raw", func(context.Context, *symphony.Envelope) error { t.Error("handled"); return nil })
	for _, body := range []string{"", "{", `{"a":1}}`, "\"\x00\"", "NaN", "{'a':1}", "\xef\xbb\xbf{}", strings.Repeat("[", 20_000)} {
		for _, contentType := range []string{"", "application/json"} {
			raw := symphony.Raw{Type: "test.raw", ContentType: contentType, Body: []byte(body)}
			err := refused(t, raw)
			invalidly(t, err, "body")
			if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x00") {
				t.Errorf("the error is unfit for a log: %q", err)
			}
			if _, err := inPlace.Dispatch(t.Context(), raw); err == nil {
				t.Errorf("%.20q is accepted in place", body)
			}
		}
	}
}

func TestCodecErrorsAreErrorsOfDispatch(t *testing.T) {
	err := refused(t, unmarshalled{})
	if _, ok := errors.AsType[*json.UnsupportedTypeError](err); !ok || !strings.HasPrefix(err.Error(), "dispatch test.unmarshalled: encode: ") {
		t.Error(err)
	}
}

// upper is a codec that writes in capitals. It sees the whole envelope.
type upper struct{ symphony.JSON }

func (c upper) Encode(env *symphony.Envelope) error {
	err := c.JSON.Encode(env)
	env.Body, env.ContentType = bytes.ToUpper(env.Body), "text/x-upper; queue="+env.Queue
	return err
}

func (c upper) Decode(env *symphony.Envelope, into symphony.Message) error {
	if !strings.HasPrefix(env.ContentType, "text/x-upper") {
		return errors.New("not in capitals")
	}
	return c.JSON.Decode(&symphony.Envelope{Body: bytes.ToLower(env.Body)}, into)
}

func TestCodecOfTheBus(t *testing.T) {
	r := newRecorder()
	bus := &symphony.Bus{Transport: r, Codec: upper{}}
	if _, err := bus.Dispatch(t.Context(), greet{"ann"}, symphony.Queue("mail")); err != nil {
		t.Fatal(err)
	}
	env := r.one(t)
	if string(env.Body) != `{"NAME":"ANN"}` || env.ContentType != "text/x-upper; queue=mail" {
		t.Errorf("sent %s as %s", env.Body, env.ContentType)
	}
	// In place the codec is asked only when the types differ: here a pointer is handled as a value.
	bus.Routes = []symphony.Route{{Type: "*", InPlace: true}}
	var got greet
	symphony.Handle(bus, func(_ context.Context, m greet) error { got = m; return nil })
	if _, err := bus.Dispatch(t.Context(), &greet{"ann"}); err != nil || got.Name != "ann" {
		t.Error(got, err)
	}
	if _, err := bus.Dispatch(t.Context(), greet{"Ann"}); err != nil || got.Name != "Ann" {
		t.Error(got, err)
	}
}

func TestJSONDecode(t *testing.T) {
	var m greet
	env := &symphony.Envelope{Type: "test.greet", Body: []byte(`{"name":"Ann","added_later":{"x":1}}`), ContentType: "text/whatever"}
	if err := (symphony.JSON{}).Decode(env, &m); err != nil || m.Name != "Ann" {
		t.Error(m, err)
	}
	var raw symphony.Raw
	if err := (symphony.JSON{}).Decode(env, &raw); err != nil || raw.Type != env.Type || raw.ContentType != env.ContentType || !bytes.Equal(raw.Body, env.Body) {
		t.Error(raw, err)
	}
	for _, body := range []string{"", "{", `{"name":7}`, "[]"} {
		if err := (symphony.JSON{}).Decode(&symphony.Envelope{Body: []byte(body)}, &m); err == nil {
			t.Errorf("%q was decoded", body)
		}
	}
}

// What is handled in place as bytes is what a worker would get.
func TestRawInPlaceIsAsFromAStore(t *testing.T) {
	bus := new(symphony.Bus)
	var got symphony.Envelope
	symphony.HandleRaw(bus, "test.raw", func(_ context.Context, env *symphony.Envelope) error { got = *env; return nil })
	if _, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.raw", Body: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	raw, ok := got.Message.(symphony.Raw)
	if !ok || raw.ContentType != "application/json" || got.ContentType != "application/json" || string(got.Body) != `{"a":1}` || string(raw.Body) != `{"a":1}` {
		t.Errorf("message %+v in envelope %+v", raw, got)
	}
}

// A codec of typed messages need not know Raw.
func TestRawInPlaceMeetsNoCodec(t *testing.T) {
	bus := &symphony.Bus{Codec: upper{}}
	var got string
	symphony.HandleRaw(bus, "test.raw", func(_ context.Context, env *symphony.Envelope) error {
		got = env.ContentType + " " + string(env.Body)
		return nil
	})
	if _, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.raw", Body: []byte(`{"a":1}`)}); err != nil || got != `application/json {"a":1}` {
		t.Error(got, err)
	}
}

func TestHandleRawTakesTypedMessages(t *testing.T) {
	bus := new(symphony.Bus)
	var got symphony.Raw
	symphony.HandleRaw(bus, "test.greet", func(_ context.Context, env *symphony.Envelope) error { got = env.Message.(symphony.Raw); return nil })
	if _, err := bus.Dispatch(t.Context(), greet{"Ann"}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%s %s %s", got.Type, got.ContentType, got.Body) != `test.greet application/json {"name":"Ann"}` {
		t.Errorf("%s %s %s", got.Type, got.ContentType, got.Body)
	}
}

func TestTypedHandlerTakesRawMessages(t *testing.T) {
	bus := new(symphony.Bus)
	var got greet
	symphony.Handle(bus, func(_ context.Context, m greet) error { got = m; return nil })
	if _, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.greet", Body: []byte(`{"name":"Ann"}`)}); err != nil || got.Name != "Ann" {
		t.Error(got, err)
	}
	_, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "test.greet", Body: []byte(`{"name":1}`)})
	if err == nil || !strings.Contains(err.Error(), "decode test.greet: ") {
		t.Error(err)
	}
	if o, _, decided := symphony.OutcomeOf(err); o != symphony.Failed || !decided {
		t.Errorf("a body that cannot be decoded asks for %s (%v)", o, decided)
	}
}
