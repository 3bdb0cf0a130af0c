package uuid7_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/symphony-messenger/symphony/internal/uuid7"
)

func TestNextGrows(t *testing.T) {
	var m uuid7.Maker
	var mu sync.Mutex
	seen := make(map[[16]byte]bool)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var last [16]byte
			for range 10_000 {
				id := m.Next()
				if bytes.Compare(id[:], last[:]) <= 0 {
					t.Errorf("%x then %x", last, id)
				}
				if id[6]>>4 != 7 || id[8]>>6 != 2 {
					t.Errorf("%x is no UUID of version 7", id)
				}
				last = id
				mu.Lock()
				if seen[id] {
					t.Errorf("%x twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

func TestDerive(t *testing.T) {
	var m uuid7.Maker
	id := m.Next()
	before := id
	a, b := uuid7.Derive(id, "a"), uuid7.Derive(id, "b")
	if a == b || a == id || a != uuid7.Derive(id, "a") || id != before {
		t.Errorf("%x: %x and %x", id, a, b)
	}
	if !bytes.Equal(a[:6], id[:6]) || a[6]>>4 != 7 || a[8]>>6 != 2 {
		t.Errorf("%x of %x: not its time, or no version 7", a, id)
	}
}

func TestFormatAndParse(t *testing.T) {
	var m uuid7.Maker
	id := m.Next()
	text := uuid7.Format(id)
	if again, ok := uuid7.Parse(strings.ToUpper(text)); !ok || again != id || len(text) != 36 {
		t.Errorf("%s is read as %x, %v", text, again, ok)
	}
	for _, bad := range []string{"", text + "0", text[:35], strings.ReplaceAll(text, "-", ":"), "g" + text[1:], text[:8] + "0-" + text[10:]} {
		if _, ok := uuid7.Parse(bad); ok {
			t.Errorf("%q is taken for a UUID", bad)
		}
	}
}
