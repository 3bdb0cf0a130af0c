package cli

import (
	"bytes"
	"testing"
	"time"
)

func TestProgressText(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		took        time.Duration
		want        string
	}{
		{500, 0, time.Second, "retrying 500, 500/s"},
		{500, 2000, time.Second, "retrying █████─────────────── 500 of 2000, 500/s, 3s left"},
		{2000, 2000, 4 * time.Second, "retrying ████████████████████ 2000 of 2000, 500/s"},
		{3000, 2000, time.Second, "retrying ████████████████████ 3000 of 2000, 3000/s"},
		{0, 10, 0, "retrying ──────────────────── 0 of 10, 0/s"},
	} {
		p := progress{verb: "retrying", done: c.done, total: c.total}
		if got := p.text(c.took); got != c.want {
			t.Errorf("%d of %d in %v: %q, want %q", c.done, c.total, c.took, got, c.want)
		}
	}
}

// Where there is no terminal nothing is written.
func TestProgressIsSilent(t *testing.T) {
	var out bytes.Buffer
	s := &session{std: Streams{Err: &out}}
	p := s.progress("retrying")
	p.began = time.Now().Add(-time.Hour)
	p.set(10, 20)
	p.end()
	if out.Len() > 0 {
		t.Errorf("written: %q", out.String())
	}
}
