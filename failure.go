package symphony

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxFailureText bounds the text, class and trace of one attempt as it is kept.
const maxFailureText = 16 << 10

// A Failure is an error as it is kept: valid UTF-8 without NUL, each text at most 16 KiB and marked
// where it was cut.
type Failure struct{ Error, Class, Trace string }

// NewFailure makes of err what is kept of it. Class is what the first ErrorClass() string method in
// err's chain says, else the type of the innermost error that is not one of package errors or fmt,
// else "error". A trace comes from a [PanicError] only.
func NewFailure(err error) *Failure {
	f := &Failure{Error: cleanText(err.Error(), maxFailureText), Class: cleanText(errorClass(err), 128)}
	if p, ok := errors.AsType[*PanicError](err); ok {
		f.Trace = cleanText(string(p.Stack), maxFailureText)
	}
	return f
}

func errorClass(err error) string {
	if c, ok := errors.AsType[interface {
		error
		ErrorClass() string
	}](err); ok {
		return c.ErrorClass()
	}
	class := "error"
	for err != nil {
		switch name := reflect.TypeOf(err).String(); name {
		case "*errors.errorString", "*errors.joinError", "*fmt.wrapError", "*fmt.wrapErrors", "*symphony.fate":
		default:
			class = name
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			if list := u.Unwrap(); len(list) > 0 {
				err = list[0]
			} else {
				err = nil
			}
		default:
			err = nil
		}
	}
	return class
}

// cleanText makes s valid UTF-8 without NUL, at most limit bytes. No store takes all bytes as text,
// and a failure that cannot be recorded would leave its message stuck.
func cleanText(s string, limit int) string {
	cut := 0
	if len(s) > limit {
		cut = len(s)
		s = s[:limit]
		for i := 0; i < utf8.UTFMax && s != "" && !utf8.RuneStart(s[len(s)-1]); i++ {
			s = s[:len(s)-1]
		}
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if cut == 0 && len(s) <= limit {
		return s
	}
	mark := fmt.Sprintf("… (%d bytes in all)", max(cut, len(s)))
	if over := len(s) + len(mark) - limit; over > 0 {
		s = strings.ToValidUTF8(s[:len(s)-over], "")
	}
	return s + mark
}

var variable = regexp.MustCompile(`"[^"]*"|'[^']*'|` + "`[^`]*`" + `|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\b(?:0x)?[0-9a-fA-F]{8,}\b|[0-9]+`)

// Fingerprint groups dead letters that failed alike: the SHA-256, in hexadecimal, of the message
// type, the class, and the text with quoted strings, UUIDs, digits and long hexadecimal numbers
// replaced.
func (f *Failure) Fingerprint(messageType string) string {
	text := variable.ReplaceAllString(f.Error, "?")
	sum := sha256.Sum256([]byte(messageType + "\x00" + f.Class + "\x00" + text))
	return hex.EncodeToString(sum[:])
}
