package recent_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony/internal/recent"
)

func TestFinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f recent.Finding
		is := func(when string, known, due bool) {
			t.Helper()
			if k, d := f.Known(), f.Due(time.Second); k != known || d != due {
				t.Errorf("%s: known %t, due %t; want %t, %t", when, k, d, known, due)
			}
		}
		is("never found", false, true)
		is("never found, asked again", false, true)
		f.Found(time.Now())
		is("just found", true, false)
		time.Sleep(time.Second)
		is("after a while", true, true)
		is("while somebody looks", true, false)
		f.Forget()
		is("not so any more", false, true)
	})
}
