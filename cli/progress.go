package cli

import (
	"fmt"
	"strings"
	"time"
)

// A progress is a line on the terminal that says how far long work is. Where there is no terminal, it is silent. It begins to show after
// a moment: most work is over by then.
type progress struct {
	s       *session
	verb    string
	total   int64 // 0: unknown
	done    int64
	began   time.Time
	written time.Time
}

const (
	progressAfter = 500 * time.Millisecond
	progressEvery = 100 * time.Millisecond
)

func (s *session) progress(verb string) *progress {
	return &progress{s: s, verb: verb, began: time.Now()}
}

// add counts what was done; total is how much there is in all, at most, 0 if nobody knows.
func (p *progress) add(n, total int64) { p.set(p.done+n, total) }

func (p *progress) set(done, total int64) {
	p.done, p.total = done, total
	now := time.Now()
	if p.s.quiet || !isTerminal(p.s.std.Err) || now.Sub(p.began) < progressAfter || now.Sub(p.written) < progressEvery {
		return
	}
	p.written = now
	fmt.Fprint(p.s.std.Err, "\r\x1b[K"+p.text(now.Sub(p.began)))
}

// text is such as "retrying ███████───── 12000 of 20000, 2400/s, 3s left".
func (p *progress) text(took time.Duration) string {
	rate := float64(p.done) / max(took.Seconds(), 1e-9)
	if p.total <= 0 {
		return fmt.Sprintf("%s %d, %.0f/s", p.verb, p.done, rate)
	}
	const width = 20
	part := min(float64(p.done)/float64(p.total), 1)
	full := int(part * width)
	text := fmt.Sprintf("%s %s%s %d of %d, %.0f/s", p.verb, strings.Repeat("█", full), strings.Repeat("─", width-full), p.done, p.total, rate)
	if rate > 0 && p.done < p.total {
		left := time.Duration(float64(p.total-p.done) / rate * float64(time.Second))
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}

// end clears the line.
func (p *progress) end() {
	if !p.written.IsZero() {
		fmt.Fprint(p.s.std.Err, "\r\x1b[K")
	}
}
