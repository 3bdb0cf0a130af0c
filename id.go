package symphony

import "github.com/symphony-messenger/symphony/internal/uuid7"

// An ID names one stored message. It is a UUID, version 7, made by the sender, so that a dispatch
// whose outcome is unknown can be repeated without storing the message twice.
type ID [16]byte

// NewID returns an ID of this moment. IDs that a Bus makes grow; those of NewID grow with the
// millisecond only. It is safe for concurrent use.
func NewID() ID { return new(uuid7.Maker).Next() }

// For returns the ID of the copy of message id that belongs to subscriber: id itself for "", else a
// UUID with id's time whose other bits depend on both. It is a function of its arguments so that a
// repeated dispatch makes the same copies.
func (id ID) For(subscriber string) ID {
	if subscriber == "" {
		return id
	}
	return uuid7.Derive(id, subscriber)
}

// IsZero reports whether id names no message.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the canonical form of a UUID, 36 characters.
func (id ID) String() string { return uuid7.Format(id) }

// ParseID reads the canonical form of a UUID; case does not matter.
func ParseID(s string) (id ID, err error) {
	err = id.UnmarshalText([]byte(s))
	return id, err
}

// MarshalText makes JSON, flags and logs show what String returns.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the canonical form of a UUID. It returns an *[InvalidError] for anything else.
func (id *ID) UnmarshalText(text []byte) error {
	b, ok := uuid7.Parse(string(text))
	if !ok {
		return invalid("id", string(text), "a UUID of 36 characters")
	}
	*id = b
	return nil
}
