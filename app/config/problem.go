package config

import (
	"fmt"
	"strings"
)

// An Error is everything that is wrong with a configuration.
type Error struct{ Problems []Problem }

// A Problem is one thing that is wrong.
type Problem struct {
	Origin Origin
	Key    string // "" when it is about the whole
	Text   string
	Hint   string // what was probably meant, as a question or an advice; "" when that is not known
}

// Error shows the first problem and says how many there are.
func (e *Error) Error() string {
	s := e.Problems[0].String()
	if n := len(e.Problems) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// String is one line: where, which key, what.
func (p Problem) String() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{p.Origin.String(), p.Key, p.Text} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}
