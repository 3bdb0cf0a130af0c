package cron

import (
	"fmt"
	"strconv"
	"strings"
)

// A reader reads one field.
type reader struct {
	*parser
	field    *field
	into     *set
	days     *days
	word     word
	pos      int             // in word.text
	resolved strings.Builder // the text, H and # replaced by numbers
	wild     bool            // it has a *, a range or a step
}

// fail is the error that the field is wrong at a position of it.
func (r *reader) fail(pos int, expected, problem string) error {
	return r.parser.fail(r.word.at+pos, r.field.name, expected, problem)
}

// unexpected is the error that what is at a position, to the end of the item, is not what was expected.
func (r *reader) unexpected(pos int, expected string) error {
	rest, _, _ := strings.Cut(r.word.text[pos:], ",")
	switch {
	case rest != "":
		return r.fail(pos, expected, found(rest))
	case pos < len(r.word.text):
		return r.fail(pos, expected, `found ","`)
	}
	return r.fail(pos, expected, "nothing is there")
}

// peek returns the next byte, letters as capitals, or 0 at the end.
func (r *reader) peek() byte { return r.at(r.pos) }

func (r *reader) at(pos int) byte {
	if pos >= len(r.word.text) {
		return 0
	}
	c := r.word.text[pos]
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// take takes the next byte if it is c.
func (r *reader) take(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.pos++
	return true
}

// read reads the whole field.
func (r *reader) read() error {
	switch {
	case r.word.text == "?" && r.field.days():
		r.resolved.WriteString("?")
		r.span(r.field.min, r.field.max, 1)
		return nil
	case r.peek() == '#':
		return r.readDrawn()
	}
	for {
		if err := r.readItem(); err != nil {
			return err
		}
		if r.pos == len(r.word.text) {
			return nil
		}
		if !r.take(',') {
			return r.unexpected(r.pos, r.follows())
		}
		r.resolved.WriteByte(',')
	}
}

// follows is what may come after an item, for errors.
func (r *reader) follows() string { return `"," or the end of the field` }

// readDrawn reads # or #(0-29), which must be the whole field.
func (r *reader) readDrawn() error {
	if r.field.hash == [2]int{} {
		return r.unexpected(r.pos, r.field.values)
	}
	r.pos++
	lo, hi, _, err := r.bounds()
	if err != nil {
		return err
	}
	if r.pos != len(r.word.text) {
		return r.unexpected(r.pos, "# or #(0-29) as the whole field")
	}
	if err := r.mustBeSeeded(r.word.at, r.field.name, r.word.text); err != nil {
		return err
	}
	if r.draws == nil {
		r.draws = newRandomizer(r.seed)
	}
	n := r.draws.between(lo, hi)
	r.resolved.WriteString(strconv.Itoa(n))
	r.span(n, n, 1)
	return nil
}

// bounds reads the (0-29) of H and #. Without it they are the field's.
func (r *reader) bounds() (lo, hi int, given bool, err error) {
	if !r.take('(') {
		return r.field.hash[0], r.field.hash[1], false, nil
	}
	if lo, err = r.number(); err != nil {
		return 0, 0, true, err
	}
	if !r.take('-') {
		return 0, 0, true, r.unexpected(r.pos, `"-" and the end of the range`)
	}
	start := r.pos
	if hi, err = r.number(); err != nil {
		return 0, 0, true, err
	}
	if hi < lo {
		return 0, 0, true, r.fail(start, fmt.Sprintf("a number from %d on", lo), found(r.word.text[start:r.pos]))
	}
	if !r.take(')') {
		return 0, 0, true, r.unexpected(r.pos, `")"`)
	}
	return lo, hi, true, nil
}

// readItem reads one item of the list.
func (r *reader) readItem() error {
	start := r.pos
	c := r.peek()
	switch {
	case c == '*':
		r.pos++
		return r.readStep(start, r.field.min, r.field.max, true)
	case c == 'H' && r.field.hash != [2]int{}:
		return r.readHash()
	case c == 'L' && r.field == &dayOfMonth:
		return r.readLast(start)
	}
	lo, err := r.number()
	if err != nil {
		return err
	}
	switch c = r.peek(); {
	case c == 'W' && r.field == &dayOfMonth:
		r.pos++
		r.days.nearest.add(lo)
		return r.keep(start)
	case c == 'L' && r.field == &dayOfWeek:
		r.pos++
		r.days.lastOf.add(lo % 7)
		return r.keep(start)
	case c == '#' && r.field == &dayOfWeek:
		return r.readNth(start, lo)
	case c == '-':
		r.pos++
		end := r.pos
		hi, err := r.number()
		if err != nil {
			return err
		}
		if hi < lo && r.field == &year {
			return r.fail(end, fmt.Sprintf("a year from %d on", lo), found(r.word.text[end:r.pos]))
		}
		return r.readStep(start, lo, hi, true)
	case c == '/':
		return r.readStep(start, lo, r.field.max, true)
	}
	return r.readStep(start, lo, lo, false)
}

// keep copies what was read since start.
func (r *reader) keep(start int) error {
	r.resolved.WriteString(r.word.text[start:r.pos])
	return nil
}

// readStep reads the step that may come after a span, and adds what it selects.
func (r *reader) readStep(start, lo, hi int, wild bool) error {
	step, err := r.step()
	if err != nil {
		return err
	}
	r.wild = r.wild || wild
	r.span(lo, hi, step)
	return r.keep(start)
}

// step reads /n, or nothing, which is 1.
func (r *reader) step() (int, error) {
	if !r.take('/') {
		return 1, nil
	}
	start := r.pos
	expected := fmt.Sprintf("a step from 1 to %d", r.field.size())
	n, ok := r.digits()
	if !ok {
		return 0, r.unexpected(start, expected)
	}
	if n < 1 || n > r.field.size() {
		return 0, r.fail(start, expected, found(r.word.text[start:r.pos]))
	}
	return n, nil
}

// span adds lo, lo+step, … up to hi. A span whose end is before its start goes on at the field's first value.
func (r *reader) span(lo, hi, step int) {
	f := r.field
	if f == &dayOfWeek && lo == 7 {
		lo, hi = 0, hi%7
	}
	if hi < lo {
		hi += f.size()
	}
	offset := 0
	if f == &year {
		offset = f.min
	}
	for n := lo; n <= hi; n += step {
		r.into.add((n-f.min)%f.size() + f.min - offset)
	}
}

// readHash reads H, H(0-29), H/15 and H(0-29)/10.
func (r *reader) readHash() error {
	start := r.pos
	r.pos++
	lo, hi, _, err := r.bounds()
	if err != nil {
		return err
	}
	stepped := r.peek() == '/'
	step, err := r.step()
	if err != nil {
		return err
	}
	if err := r.mustBeSeeded(r.word.at+start, r.field.name, r.word.text[start:r.pos]); err != nil {
		return err
	}
	if !stepped {
		n := lo + pick(r.seed, r.field, hi-lo+1)
		r.span(n, n, 1)
		r.resolved.WriteString(strconv.Itoa(n))
		return nil
	}
	lo += pick(r.seed, r.field, min(step, hi-lo+1))
	r.wild = true
	r.span(lo, hi, step)
	fmt.Fprintf(&r.resolved, "%d-%d/%d", lo, hi, step)
	return nil
}

// readLast reads L, LW and L-3 of a day of month.
func (r *reader) readLast(start int) error {
	r.pos++
	switch {
	case r.take('W'):
		r.days.lastWeekday = true
	case r.take('-'):
		at := r.pos
		const expected = "a number of days from 1 to 30"
		n, ok := r.digits()
		if !ok {
			return r.unexpected(at, expected)
		}
		if n < 1 || n > 30 {
			return r.fail(at, expected, found(r.word.text[at:r.pos]))
		}
		r.days.beforeLast.add(n)
	default:
		r.days.beforeLast.add(0)
	}
	return r.keep(start)
}

// readNth reads the #2 of FRI#2.
func (r *reader) readNth(start, weekday int) error {
	r.pos++
	at := r.pos
	n, ok := r.digits()
	if !ok || n < 1 || n > len(r.days.nth) {
		return r.unexpected(at, "a number from 1 to 5")
	}
	r.days.nth[n-1].add(weekday % 7)
	return r.keep(start)
}

// number reads a value of the field: a number or a name.
func (r *reader) number() (int, error) {
	start := r.pos
	n, ok := r.digits()
	if !ok {
		if n, ok = r.name(); !ok {
			return 0, r.unexpected(start, r.field.values)
		}
	}
	if n < r.field.min || n > r.field.last() {
		return 0, r.fail(start, r.field.values, found(r.word.text[start:r.pos]))
	}
	return n, nil
}

// digits reads a number. One that is too large for every field stays so.
func (r *reader) digits() (n int, ok bool) {
	for ; r.peek() >= '0' && r.peek() <= '9'; r.pos++ {
		n, ok = min(10*n+int(r.peek()-'0'), 1_000_000), true
	}
	return n, ok
}

// name reads three letters that are one of the field's names.
func (r *reader) name() (n int, ok bool) {
	letters := string([]byte{r.at(r.pos), r.at(r.pos + 1), r.at(r.pos + 2)})
	for i, name := range r.field.names {
		if name == letters {
			r.pos += 3
			return r.field.min + i, true
		}
	}
	return 0, false
}
