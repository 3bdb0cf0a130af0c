package cron

import (
	"fmt"
	"strings"
	"time"
)

// maxLength is the longest expression in bytes. One that lists every minute has 169.
const maxLength = 512

// A parser reads one expression.
type parser struct {
	options
	expr  string
	draws *randomizer // of #, shared by the fields
}

// A word is a part of the expression, and where it begins.
type word struct {
	text string
	at   int
}

func (w word) end() int { return w.at + len(w.text) }

// fail is the error that something of the expression is wrong.
func (p *parser) fail(at int, field, expected, problem string) *ParseError {
	return &ParseError{Expr: p.expr, Offset: at, Field: field, Problem: problem, Expected: expected}
}

func (p *parser) parse() (*Schedule, error) {
	if len(p.expr) > maxLength {
		return nil, p.fail(maxLength, "", fmt.Sprintf("at most %d bytes", maxLength), fmt.Sprintf("it has %d bytes", len(p.expr)))
	}
	words := split(p.expr)
	prefix, words, err := p.timeZone(words)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, p.fail(len(p.expr), "", "five fields such as 30 2 * * *, or a macro such as @daily", "nothing is there")
	}
	s := &Schedule{zone: p.zone}
	switch {
	case words[0].text == "@every":
		err = p.interval(s, words)
	case strings.HasPrefix(words[0].text, "@"):
		err = p.macro(s, words)
	case len(words[0].text) > 1 && words[0].text[0] == '#' && words[0].text[1] != '(':
		err = p.hashed(s, words)
	default:
		err = p.fields(s, words)
	}
	if err != nil {
		return nil, err
	}
	s.text = prefix + s.text
	return s, nil
}

// split returns what spaces and tabs separate.
func split(expr string) []word {
	var words []word
	for at := 0; at < len(expr); {
		if expr[at] == ' ' || expr[at] == '\t' {
			at++
			continue
		}
		n := strings.IndexAny(expr[at:], " \t")
		if n < 0 {
			n = len(expr) - at
		}
		words = append(words, word{expr[at : at+n], at})
		at += n
	}
	return words
}

// timeZone takes the zone from the front of the words.
func (p *parser) timeZone(words []word) (prefix string, rest []word, err error) {
	if len(words) == 0 {
		return "", words, nil
	}
	w := words[0]
	name, ok := strings.CutPrefix(w.text, "TZ=")
	if !ok {
		name, ok = strings.CutPrefix(w.text, "CRON_TZ=")
	}
	if !ok {
		return "", words, nil
	}
	if p.zone, err = Zone(name); err != nil {
		bad := p.fail(w.end()-len(name), "time zone", "an IANA name such as Europe/Berlin or UTC", found(name))
		if name == "" {
			bad.Problem = "the name is missing"
		}
		bad.Err = err
		return "", nil, bad
	}
	return w.text + " ", words[1:], nil
}

// interval reads "@every 90s".
func (p *parser) interval(s *Schedule, words []word) error {
	const name, expected = "interval", "a duration in whole seconds, at least 1s, such as 90s or 1h30m"
	if len(words) == 1 {
		return p.fail(words[0].end(), name, expected, "it is missing")
	}
	w := words[1]
	d, err := time.ParseDuration(w.text)
	if err != nil {
		return p.fail(w.at, name, expected, found(w.text))
	}
	if d < time.Second || d%time.Second != 0 {
		return p.fail(w.at, name, expected, found(w.text))
	}
	if err := p.nothingAfter(words[1:]); err != nil {
		return err
	}
	s.every = int64(d / time.Second)
	s.text = "@every " + w.text
	return nil
}

// nothingAfter refuses all words but the first.
func (p *parser) nothingAfter(words []word) error {
	if len(words) > 1 {
		return p.fail(words[1].at, "", "the end after "+words[0].text, found(words[1].text))
	}
	return nil
}

// macro reads "@daily" and the like.
func (p *parser) macro(s *Schedule, words []word) error {
	name := words[0]
	var expr string
	switch name.text {
	case "@yearly", "@annually":
		expr = "0 0 1 1 *"
	case "@monthly":
		expr = "0 0 1 * *"
	case "@weekly":
		expr = "0 0 * * 0"
	case "@daily", "@midnight":
		expr = "0 0 * * *"
	case "@hourly":
		expr = "0 * * * *"
	default:
		return p.fail(name.at, "macro",
			"@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every", found(name.text))
	}
	if err := p.nothingAfter(words); err != nil {
		return err
	}
	if err := p.fields(s, split(expr)); err != nil {
		return err
	}
	s.text = name.text
	return nil
}

// hashed reads "#daily" and the like, which are Symfony's.
func (p *parser) hashed(s *Schedule, words []word) error {
	name := words[0]
	var expr string
	switch name.text {
	case "#hourly":
		expr = "# * * * *"
	case "#daily":
		expr = "# # * * *"
	case "#weekly":
		expr = "# # * * #"
	case "#monthly":
		expr = "# # # * *"
	case "#yearly", "#annually":
		expr = "# # # # *"
	case "#midnight":
		expr = "# #(0-2) * * *"
	case "#weekly@midnight":
		expr = "# #(0-2) * * #"
	case "#monthly@midnight":
		expr = "# #(0-2) # * *"
	case "#yearly@midnight", "#annually@midnight":
		expr = "# #(0-2) # # *"
	default:
		return p.fail(name.at, "macro",
			"#hourly, #daily, #weekly, #monthly, #yearly, #annually or #midnight, or # or #(0-29) as a field", found(name.text))
	}
	if err := p.nothingAfter(words); err != nil {
		return err
	}
	if err := p.mustBeSeeded(name.at, "macro", name.text); err != nil {
		return err
	}
	return p.fields(s, split(expr))
}

func (p *parser) mustBeSeeded(at int, field, what string) error {
	if p.seeded {
		return nil
	}
	missing := p.fail(at, field, "a seed to choose its numbers from, such as the name of the schedule", quote(what)+" has no seed")
	missing.Err = ErrNoSeed
	return missing
}

// fields reads five to seven fields.
func (p *parser) fields(s *Schedule, words []word) error {
	if n := len(words); n < 5 || n > 7 {
		at := words[n-1].end()
		if n > 7 {
			at = words[7].at
		}
		return p.fail(at, "", "5 (minute, hour, day of month, month, day of week), 6 with seconds first, or 7 with a year last",
			"found "+plural(n, "field"))
	}
	parts := []struct {
		field *field
		into  *set
	}{
		{&second, &s.second},
		{&minute, &s.minute},
		{&hour, &s.hour},
		{&dayOfMonth, &s.days.ofMonth},
		{&month, &s.month},
		{&dayOfWeek, &s.days.ofWeek},
		{&year, &s.year},
	}
	if len(words) == 5 {
		parts = parts[1:]
		s.second.add(0)
	}
	s.wall, s.anyYear = true, len(words) < 7
	var texts []string
	for i, w := range words {
		r := reader{parser: p, field: parts[i].field, into: parts[i].into, days: &s.days, word: w}
		if err := r.read(); err != nil {
			return err
		}
		if r.wild && r.field.clock() {
			s.wall = false
		}
		texts = append(texts, r.resolved.String())
	}
	s.text = strings.Join(texts, " ")
	dates := words[2:5]
	if len(words) > 5 {
		dates = words[3:6]
	}
	restricts := func(w word) bool { return w.text[0] != '*' && w.text[0] != '?' }
	s.days.either = !p.bothDays && restricts(dates[0]) && restricts(dates[2])
	if !s.fires() {
		return p.fail(dates[0].at, dayOfMonth.name, "a date that occurs", "the expression never fires")
	}
	return nil
}

// fires reports whether there is a date that matches, and not only in gaps of the clock.
func (s *Schedule) fires() bool {
	from, to := 2000, 2399 // the calendar repeats itself after 400 years
	if !s.anyYear {
		from, to = year.min, year.max
	}
	for y := from; y <= to; y++ {
		if !s.anyYear && !s.year.has(y-year.min) {
			continue
		}
		for m := s.month.next(1); m > 0; m = s.month.next(m + 1) {
			begins := time.Date(y, time.Month(m), 1, 0, 0, 0, 0, time.UTC).Weekday()
			if matching := s.days.in(y, m, begins); matching.next(1) > 0 {
				return s.anyYear || !s.Next(time.Time{}).IsZero()
			}
		}
	}
	return false
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
