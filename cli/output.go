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

// A parts writes what list does, part by part, and keeps none of it. On a terminal each part is aligned by itself.
type parts[T any] struct {
	s     *session
	rows  func([]T) table
	begun bool
}

func (p *parts[T]) add(values []T) error {
	if p.s.output == formatTable {
		if len(values) > 0 || !p.begun {
			p.s.writeRows(p.rows(values), !p.begun)
			p.begun = true
		}
		return nil
	}
	for _, v := range values {
		if p.s.output == formatLines {
			if err := p.s.encode(v); err != nil {
				return err
			}
			continue
		}
		var b strings.Builder
		b.WriteString(map[bool]string{false: "[\n  ", true: ",\n  "}[p.begun])
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("  ", "  ")
		if err := e.Encode(v); err != nil {
			return err
		}
		if _, err := io.WriteString(p.s.std.Out, strings.TrimSuffix(b.String(), "\n")); err != nil {
			return err
		}
		p.begun = true
	}
	return nil
}

// end writes what comes after the last part.
func (p *parts[T]) end() (err error) {
	switch {
	case p.s.output == formatTable:
		err = p.add(nil)
	case p.s.output == formatJSON && p.begun:
		_, err = io.WriteString(p.s.std.Out, "\n]\n")
	case p.s.output == formatJSON:
		err = p.s.encode([]T{})
	}
	return err
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
func (s *session) write(t table) { s.writeRows(t, true) }

func (s *session) writeRows(t table, headings bool) {
	var texts []string
	if isTerminal(s.std.Out) {
		texts = t.aligned()
		texts[0] = s.paint(s.std.Out, bold, texts[0])
	} else {
		for _, row := range t {
			texts = append(texts, strings.Join(lines(row), "\t"))
		}
	}
	if !headings {
		texts = texts[1:]
	}
	for _, text := range texts {
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
