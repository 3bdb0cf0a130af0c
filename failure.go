package symphony

import (
	"errors"

	"github.com/symphony-messenger/symphony/internal/errtext"
)

// Bounds of what is kept of one attempt, in bytes.
const (
	maxFailureText  = 16 << 10
	maxFailureClass = 128
)

// A Failure is an error as it is kept: valid UTF-8 without NUL, Error and Trace at most 16 KiB each,
// Class at most 128 bytes, marked where they were cut.
type Failure struct{ Error, Class, Trace string }

// NewFailure makes of err what is kept of it; err must not be nil. Class is what the first
// ErrorClass() string method in err's chain says, else the type of the innermost error that is not
// one of package errors or fmt, else "error". A trace comes from a [PanicError] only.
func NewFailure(err error) *Failure {
	f := &Failure{
		Error: errtext.Clean(errtext.Of(err), maxFailureText),
		Class: errtext.Clean(errtext.Class(err, "*symphony.fate"), maxFailureClass),
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		f.Trace = errtext.Clean(string(p.Stack), maxFailureText)
	}
	return f
}

// Fingerprint groups dead letters that failed alike: the SHA-256, in hexadecimal, of the message
// type, the class, and the text with quoted strings, UUIDs, digits and long hexadecimal numbers
// replaced.
func (f *Failure) Fingerprint(messageType string) string {
	return errtext.Fingerprint(messageType, f.Class, f.Error)
}
