package history_test

import (
	"testing"
	"time"

	"github.com/symphony-messenger/symphony/internal/history"
)

// TestFigures counts by hand what a crash run prints.
func TestFigures(t *testing.T) {
	s := newScript()
	s.send("a", history.OK)
	s.send("b", history.OK)
	s.send("c", history.OK)
	s.send("gone", history.OK)
	s.send("slow", history.OK)
	s.claim("a", 1)
	s.claim("slow", 1)
	s.claim("b", 1)
	s.verdict(by{"b", 1}, history.Retried, "", after(time.Hour)) // its wait must not count as time to run again
	s.verdict(by{"slow", 1}, history.Released, "")               // as is written down of a claim whose answer may be late
	s.fault(history.Kill, "w1")
	killed := s.now
	s.fault(history.Restart, "w1")
	s.wait(lease)
	s.claim("a", 2, crashes(1))
	s.claim("slow", 2, crashes(1))
	rerun := time.Duration(s.now - killed - 1*ms) // made 2 ms before its record, give or take one
	s.verdict(by{"slow", 2}, history.Completed, history.OK)
	s.end(history.Completed, "slow")
	s.verdict(by{"a", 2}, history.Completed, history.OK)
	s.verdict(by{"a", 2}, history.Completed, history.OK)
	s.end(history.Completed, "a")
	s.done("b", 2, attempt(2))
	s.claim("c", 3, crashes(2))
	s.wait(lease)
	s.claim("c", 4, crashes(3))
	s.verdict(by{"c", 3}, history.Completed, history.OK)
	s.end(history.Completed, "c")

	r := s.check()
	if r.P99RerunS == nil || *r.P99RerunS != rerun.Seconds() || r.Reruns != 2 {
		t.Errorf("rerun: %d, p99 %v s, want 2, at most %v", r.Reruns, r.P99RerunS, rerun)
	}
	r.P99RerunS = nil
	if want := (history.Figures{Jobs: 5, Kills: 1, Restarts: 1, Lost: 1, Doubled: 1, StaleAccepted: 1}); r.Figures != want {
		t.Errorf("figures %+v, want %+v\n%v", r.Figures, want, r.Err())
	}
	if r.Unknown != 2 {
		t.Errorf("unknown outcomes: %d, want 2", r.Unknown)
	}
}
