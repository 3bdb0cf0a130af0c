package symphony

import (
	"bytes"
	"cmp"
	"encoding/json"
	"unicode/utf8"
)

// A Codec turns messages into bodies and back. It sees the whole envelope, so that it can choose by
// content type, convert an older Version, encrypt, or keep large bodies elsewhere. Both methods may
// be called concurrently.
type Codec interface {
	// Encode sets Body and ContentType from Message.
	Encode(env *Envelope) error
	// Decode fills into, a pointer to what the handler takes, from Body. It must not keep into. A
	// message whose body it refuses is a dead letter at once.
	Decode(env *Envelope, into Message) error
}

// JSON is the codec that a Bus uses when it has none. [Raw] messages pass through it as they are.
type JSON struct{}

const jsonType = "application/json"

// Encode implements [Codec]. It refuses a Raw body that says it is JSON and is not.
func (JSON) Encode(env *Envelope) (err error) {
	if raw, ok := env.Message.(Raw); ok {
		env.Body, env.ContentType = raw.Body, cmp.Or(raw.ContentType, jsonType)
		if env.ContentType == jsonType && !(json.Valid(raw.Body) && utf8.Valid(raw.Body)) {
			return jsonError(raw.Body)
		}
		return nil
	}
	env.ContentType = jsonType
	env.Body, err = json.Marshal(env.Message)
	return err
}

// Decode implements [Codec]. It decodes whatever content type the body has, because a message may
// come from SQL or HTTP; unknown fields are ignored, so that a newer sender can add some.
func (JSON) Decode(env *Envelope, into Message) error {
	if raw, ok := into.(*Raw); ok {
		*raw = Raw{Type: env.Type, ContentType: env.ContentType, Body: env.Body}
		return nil
	}
	return json.Unmarshal(env.Body, into)
}

func jsonError(body []byte) error {
	rule := "well-formed JSON in UTF-8"
	if err := json.Unmarshal(body, new(any)); err != nil {
		rule = "well-formed JSON (" + err.Error() + ")"
	}
	return invalid("body", string(bytes.ToValidUTF8(body[:min(len(body), 100)], []byte("�"))), rule)
}
