package symphony

import "reflect"

// A Message is a plain value that can be dispatched. MessageType is its name on the wire,
// [A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}. It must not depend on the value, so that it can be asked of
// the zero value, and it must not change while messages of that name are stored; see [Alias].
//
// A message may also implement [Stamped], [Validator] and [Versioned].
type Message interface{ MessageType() string }

// Stamped is implemented by messages that carry default stamps. A route, [Bus.With] and the call to
// Dispatch, in this order, override them.
type Stamped interface{ Stamps() []Stamp }

// Validator is implemented by messages that check themselves. Dispatch calls Validate and refuses
// the message with its error; it is called again before the message is handled, because one that
// came from SQL or HTTP has met no Go code yet, and one that fails there is a dead letter.
type Validator interface{ Validate() error }

// Versioned is implemented by messages whose body has changed its shape. The version is stored
// beside the body, and a [Codec] sees it when it decodes.
type Versioned interface{ MessageVersion() int }

// Raw is a message of a type that is known only at run time. Its body is sent as it is. With the
// content type application/json the body must be well-formed JSON; it is checked, never rewritten.
type Raw struct {
	Type        string
	ContentType string // "": application/json
	Body        []byte
}

// MessageType returns m.Type.
func (m Raw) MessageType() string { return m.Type }

// Wrap returns m with stamps of its own, for [Dispatcher.DispatchAll]. They are applied last.
func Wrap(m Message, stamps ...Stamp) Message { return wrapped{m, stamps} }

type wrapped struct {
	Message
	stamps []Stamp
}

// unwrap returns what the caller wrapped, and refuses nil and nil pointers: their MessageType would
// panic or, worse, answer.
func unwrap(m Message) (Message, []Stamp, error) {
	var own []Stamp
	for {
		w, ok := m.(wrapped)
		if !ok {
			break
		}
		own = append(w.stamps[:len(w.stamps):len(w.stamps)], own...)
		m = w.Message
	}
	if m == nil {
		return nil, nil, invalid("message", "nil", "a value")
	}
	if v := reflect.ValueOf(m); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, nil, invalid("message", v.Type().String()+"(nil)", "a value")
	}
	return m, own, nil
}
