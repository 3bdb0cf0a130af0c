package nearest_test

import (
	"testing"

	"github.com/symphony-messenger/symphony/internal/nearest"
)

func TestTo(t *testing.T) {
	words := []string{"concurrency", "lease", "limits", "retry", "max"}
	for s, want := range map[string]string{
		"concurency": "concurrency", "Lease": "lease", "laese": "lease", "limit": "limits", "rtry": "retry", "mac": "max", "": "max",
		"nothing-like-it": "", "zz": "", "xyzzyx": "",
	} {
		got, ok := nearest.To(s, words)
		if s == "" {
			continue // of one that is empty anything may be meant
		}
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "bc", 1}, {"kitten", "sitting", 3}} {
		if got := nearest.Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
