package mailserver

import (
	"fmt"
	"strconv"
	"strings"
)

// A Kind is what the server does with a mail.
type Kind string

// The kinds, as they are written in addresses.
const (
	OK     Kind = "ok"     // takes it
	Busy   Kind = "busy"   // refuses it for now, with 451
	Gone   Kind = "gone"   // refuses it for good, with 550
	Silent Kind = "silent" // reads it and never answers
)

// An Answer is what the server does with all mails to one address.
type Answer struct {
	Kind  Kind
	Times int // how often, before it takes the mail; 0: each time
}

// AnswerTo reads the answer from an address: kind.anything@domain, or kind-times.anything@domain.
func AnswerTo(address string) (Answer, error) {
	local, _, _ := strings.Cut(address, "@")
	word, _, dotted := strings.Cut(local, ".")
	kind, times, counted := strings.Cut(word, "-")
	a := Answer{Kind: Kind(kind)}
	if counted {
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 {
			return Answer{}, fmt.Errorf("address %q: %q is no number of times", address, times)
		}
		a.Times = n
	}
	switch {
	case !dotted:
	case a.Kind == Busy || a.Kind == Silent, (a.Kind == OK || a.Kind == Gone) && !counted:
		return a, nil
	}
	return Answer{}, fmt.Errorf("address %q: must begin with ok, gone, busy, silent, busy-N or silent-N, and a dot", address)
}

// Address returns an address with that answer; rest is what follows it, such as "17@example.test".
func (a Answer) Address(rest string) string {
	if a.Times > 0 {
		return fmt.Sprintf("%s-%d.%s", a.Kind, a.Times, rest)
	}
	return fmt.Sprintf("%s.%s", a.Kind, rest)
}

// Accepts reports whether the server takes a mail that is offered for the nth time, 1 at first.
func (a Answer) Accepts(nth int) bool {
	return a.Kind == OK || a.Times > 0 && nth > a.Times
}
