// Package errtext turns errors into text that every store can keep and people can group.
package errtext

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Of returns the text of err. An Error method that panics, such as one on a nil pointer, costs the
// text and not the program: the failure has to be recorded all the same.
func Of(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("%T, whose Error method panicked: %v", err, v)
		}
	}()
	return err.Error()
}

// Clean makes s valid UTF-8 without NUL, at most limit bytes, and marks where it was cut. No store
// takes all bytes as text, and a failure that cannot be recorded would leave its message stuck.
func Clean(s string, limit int) string {
	size := len(s)
	s = strings.ReplaceAll(strings.ToValidUTF8(s[:min(size, limit)], "�"), "\x00", "�")
	if size <= limit && len(s) <= limit {
		return s
	}
	mark := fmt.Sprintf("… (%d bytes in all)", size)
	return strings.ToValidUTF8(s[:min(len(s), max(limit-len(mark), 0))], "") + mark
}

// Class names the kind of err: what the first ErrorClass method in its chain says, else the type of
// the innermost error that says more than "an error with a text", else "error". Types in wrappers say
// nothing either. Of several errors that are joined, the first one that has a class decides.
func Class(err error, wrappers ...string) (class string) {
	defer func() {
		if recover() != nil { // a method of a nil pointer
			class = reflect.TypeOf(err).String()
		}
	}()
	if c, ok := errors.AsType[interface {
		error
		ErrorClass() string
	}](err); ok {
		return c.ErrorClass()
	}
	if class := innermost(err, append(wrappers, "*errors.errorString", "*errors.joinError", "*fmt.wrapError", "*fmt.wrapErrors")); class != "" {
		return class
	}
	return "error"
}

func innermost(err error, silent []string) string {
	var inside []error
	switch u := err.(type) {
	case nil:
		return ""
	case interface{ Unwrap() error }:
		inside = []error{u.Unwrap()}
	case interface{ Unwrap() []error }:
		inside = u.Unwrap()
	}
	for _, e := range inside {
		if class := innermost(e, silent); class != "" {
			return class
		}
	}
	if own := reflect.TypeOf(err).String(); !slices.Contains(silent, own) {
		return own
	}
	return ""
}

var variable = regexp.MustCompile(`"[^"]*"|'[^']*'|` + "`[^`]*`" + `|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\b(?:0x)?[0-9a-fA-F]{8,}\b|[0-9]+`)

// Shape is a text with quoted strings, UUIDs, digits and long hexadecimal numbers replaced.
func Shape(text string) string { return variable.ReplaceAllString(text, "?") }

// Fingerprint is the SHA-256, in hexadecimal, of a message type, a class, and the [Shape] of a text, with
// NULs between them.
func Fingerprint(messageType, class, text string) string {
	sum := sha256.Sum256([]byte(messageType + "\x00" + class + "\x00" + Shape(text)))
	return hex.EncodeToString(sum[:])
}
