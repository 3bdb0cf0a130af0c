package cron

import (
	"errors"
	"fmt"
)

// ErrNoSeed is the cause when H or # is read without [Seed].
var ErrNoSeed = errors.New("no seed")

// A ParseError says what is wrong with an expression, where, and what was expected there.
type ParseError struct {
	Expr     string // the expression, whole
	Offset   int    // where it is wrong, in bytes from 0; the length of Expr when something is missing at its end
	Field    string // "minute", "day of week", "time zone", …; "" when it is about the whole expression
	Problem  string // what is there
	Expected string // what should be there
	Err      error  // the cause, or nil
}

// Error counts positions from 1, as people do.
func (e *ParseError) Error() string {
	where := fmt.Sprintf("at position %d", e.Offset+1)
	if e.Field != "" {
		where = e.Field + " " + where
	}
	return fmt.Sprintf("cron expression %s: %s: %s, expected %s", quote(e.Expr), where, e.Problem, e.Expected)
}

// Unwrap returns the cause: a *[ZoneError], [ErrNoSeed], or nil.
func (e *ParseError) Unwrap() error { return e.Err }

// A ZoneError says that a name is not that of a time zone one can schedule in.
type ZoneError struct {
	Name    string
	Problem string
}

// Error names the zone.
func (e *ZoneError) Error() string {
	return fmt.Sprintf("time zone %s: %s, expected an IANA name such as Europe/Berlin or UTC", quote(e.Name), e.Problem)
}

// found is the problem that something else is there than was expected.
func found(what string) string { return "found " + quote(what) }

// quote shortens what somebody else wrote, and makes it harmless to terminals and logs.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
