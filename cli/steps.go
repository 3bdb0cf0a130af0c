package cli

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A step is one line of dev: something that happened to a message.
type step struct {
	Time    time.Time       `json:"time"`
	Step    string          `json:"step"`
	ID      symphony.ID     `json:"id"`
	Type    string          `json:"type"`
	Queue   string          `json:"queue,omitempty"`
	Attempt int             `json:"attempt,omitempty"`
	Took    float64         `json:"took_seconds,omitempty"`
	After   float64         `json:"next_attempt_seconds,omitempty"`
	Reason  symphony.Reason `json:"reason,omitempty"`
	Error   string          `json:"error,omitempty"`
	Detail  string          `json:"detail,omitempty"`
}

// steps prints what happens. Those who tell it never wait for a slow terminal: what it cannot take is
// counted instead.
type steps struct {
	s    *session
	in   chan step
	end  chan struct{} // closed by close; in never is, a handler that would not stop may still tell
	lost atomic.Int64
}

func newSteps(s *session) *steps {
	return &steps{s: s, in: make(chan step, 1024), end: make(chan struct{})}
}

// Observe implements symphony.Observer.
func (p *steps) Observe(_ context.Context, e symphony.Event) {
	st := step{
		Step: string(e.Kind), ID: e.Envelope.ID, Type: e.Envelope.Type, Queue: e.Envelope.Queue, Attempt: e.Envelope.Attempt,
		Took: e.Took.Seconds(), After: e.After.Seconds(), Reason: e.Reason,
	}
	if e.Kind == symphony.EventSettled {
		st.Step = string(e.Outcome)
	}
	if e.Err != nil {
		st.Error = line(e.Err.Error())
	}
	p.tell(st)
}

func (p *steps) tell(st step) {
	st.Time = time.Now()
	select {
	case p.in <- st:
	default:
		p.lost.Add(1)
	}
}

// print writes steps until close is called, and then what has been told before.
func (p *steps) print() {
	for ended := false; !ended; {
		select {
		case st := <-p.in:
			p.write(st)
		case <-p.end:
			ended = true
		}
	}
	for range len(p.in) {
		p.write(<-p.in)
	}
	if n := p.lost.Load(); n > 0 {
		p.s.note("%d steps are not shown: standard output was too slow", n)
	}
}

func (p *steps) close() { close(p.end) }

func (p *steps) write(st step) {
	if p.s.output == formatTable {
		fmt.Fprintln(p.s.std.Out, st.text())
	} else if p.s.encode(st) != nil {
		p.lost.Add(1)
	}
}

func (st *step) text() string {
	var about []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			about = append(about, fmt.Sprintf(format, args...))
		}
	}
	add(st.Queue != "", "queue %s", st.Queue)
	add(st.Attempt > 0, "attempt %d", st.Attempt)
	add(st.Took > 0, "took %v", seconds(st.Took))
	add(st.After > 0, "again in %v", seconds(st.After))
	add(st.Reason != "", "reason %s", st.Reason)
	add(st.Detail != "", "%s", cut(st.Detail, 120))
	add(st.Error != "", "error: %s", cut(st.Error, 200))
	return fmt.Sprintf("%s  %-10s  %s  %s  %s", st.Time.Format("15:04:05.000"), st.Step, st.ID, st.Type, strings.Join(about, ", "))
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Microsecond)
}
