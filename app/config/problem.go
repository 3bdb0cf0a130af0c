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

// nearest returns the word that s was probably meant to be.
func nearest(s string, words []string) (string, bool) {
	best, at := "", max(2, len(s)/3)+1
	for _, w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < at {
			best, at = w, d
		}
	}
	return best, best != ""
}

// distance is how many letters must be changed, added, dropped or swapped with the next to make b of a.
func distance(a, b string) int {
	const longest = 80
	if len(a) > longest || len(b) > longest {
		return longest
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
