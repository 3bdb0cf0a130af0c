package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// A format is how data is written to standard output.
type format string

const (
	formatTable format = "" // for people; between programs its columns are separated by tabs
	formatJSON  format = "json"
	formatLines format = "jsonl"
)

// String implements pflag.Value.
func (f *format) String() string {
	if *f == formatTable {
		return "table"
	}
	return string(*f)
}

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	switch s {
	case "table":
		*f = formatTable
	case "json", "jsonl":
		*f = format(s)
	default:
		return fmt.Errorf("must be table, json or jsonl")
	}
	return nil
}

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// show writes one value: as JSON, or as what people prints.
func (s *session) show(value any, people func(w io.Writer)) error {
	if s.output == formatTable {
		people(s.std.Out)
		return nil
	}
	return s.encode(value)
}

// list writes values: as one JSON array, as one object a line, or as a table.
func list[T any](s *session, values []T, rows func() table) error {
	switch s.output {
	case formatTable:
		s.write(rows())
		return nil
	case formatJSON:
		if values == nil {
			values = []T{}
		}
		return s.encode(values)
	}
	for _, v := range values {
		if err := s.encode(v); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) encode(value any) error {
	e := json.NewEncoder(s.std.Out)
	e.SetEscapeHTML(false)
	if s.output == formatJSON {
		e.SetIndent("", "  ")
	}
	return e.Encode(value)
}

// A table has a row of headings first.
type table [][]string

// write aligns the columns for a terminal. For a program it separates them by one tab.
func (s *session) write(t table) {
	if !isTerminal(s.std.Out) {
		for _, row := range t {
			fmt.Fprintln(s.std.Out, strings.Join(lines(row), "\t"))
		}
		return
	}
	for n, text := range t.aligned() {
		if n == 0 {
			text = s.paint(s.std.Out, bold, text)
		}
		fmt.Fprintln(s.std.Out, text)
	}
}

func (t table) aligned() []string {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range lines(row) {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	rows := make([]string, len(t))
	for n, row := range t {
		var b strings.Builder
		for i, cell := range lines(row) {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		rows[n] = strings.TrimRight(b.String(), " ")
	}
	return rows
}

func lines(cells []string) []string {
	clean := make([]string, len(cells))
	for i, c := range cells {
		clean[i] = line(c)
	}
	return clean
}

// line makes s fit for one line of a terminal: text of messages and errors must neither break a table
// nor control the terminal.
func line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return utf8.RuneError
		}
		return r
	}, s))
}

// cut shortens a cell.
func cut(s string, most int) string {
	s = line(s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// moment is a time for people; "" when there is none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// A colour is the number of an ANSI graphic rendition.
type colour string

const (
	bold colour = "1"
	red  colour = "31"
	cyan colour = "36"
)

// paint colours text when w is a terminal whose user wants it.
func (s *session) paint(w io.Writer, c colour, text string) string {
	if s.plain || os.Getenv("NO_COLOR") != "" || !isTerminal(w) {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// isTerminal reports whether a stream is one end of a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
