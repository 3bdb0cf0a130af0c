package symphony_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/symphony-messenger/symphony"
)

func isUUIDv7(id symphony.ID) bool { return id[6]>>4 == 7 && id[8]>>6 == 2 }

func millis(id symphony.ID) (ms int64) {
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

// IDs of one bus grow, even when the clock stands still, as it does here.
func TestIDsOfABusGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Transport: newRecorder()}
		var ids []symphony.ID
		for range 2 {
			rs, err := bus.DispatchAll(t.Context(), slices.Repeat([]symphony.Message{greet{}}, 10_000))
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rs {
				ids = append(ids, r.ID)
			}
		}
		for i, id := range ids {
			if !isUUIDv7(id) {
				t.Fatalf("%v is no UUID of version 7", id)
			}
			if i > 0 && strings.Compare(ids[i-1].String(), id.String()) >= 0 {
				t.Fatalf("%v then %v", ids[i-1], id)
			}
		}
		if ahead := millis(ids[len(ids)-1]) - time.Now().UnixMilli(); ahead < 1 || ahead > 5 {
			t.Errorf("20,000 IDs of one moment run %d ms ahead", ahead)
		}
		time.Sleep(time.Second)
		receipt, err := bus.Dispatch(t.Context(), greet{})
		if err != nil || millis(receipt.ID) != time.Now().UnixMilli() {
			t.Errorf("after a second: %v, %v", receipt, err)
		}
	})
}

func TestIDsAreUnique(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[symphony.ID]bool)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			ids := make([]symphony.ID, 5_000)
			for i := range ids {
				ids[i] = symphony.NewID()
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				if seen[id] || !isUUIDv7(id) {
					t.Errorf("%v", id)
				}
				seen[id] = true
			}
		})
	}
	wg.Wait()
	if len(seen) != 20_000 {
		t.Errorf("%d different ones", len(seen))
	}
}

func TestParseID(t *testing.T) {
	id := symphony.NewID()
	for _, s := range []string{id.String(), strings.ToUpper(id.String())} {
		if got, err := symphony.ParseID(s); err != nil || got != id {
			t.Errorf("ParseID(%s) = %v, %v", s, got, err)
		}
	}
	full := "0191d2c8-5b1f-7c3a-9a77-2f6f0b6f6a01"
	if got, err := symphony.ParseID(full); err != nil || got.String() != full {
		t.Errorf("ParseID(%s) = %v, %v", full, got, err)
	}
	for _, s := range []string{
		"", "x", full[:35], full + "0", "{" + full + "}", strings.ReplaceAll(full, "-", ""), strings.Replace(full, "0", "g", 1),
		strings.Replace(full, "-", "_", 1), "0191d2c85-b1f-7c3a-9a77-2f6f0b6f6a01", strings.Replace(full, "01", "é", 1), strings.Repeat("-", 36),
	} {
		got, err := symphony.ParseID(s)
		invalidly(t, err, "id")
		if !got.IsZero() {
			t.Errorf("ParseID(%q) = %v beside its error", s, got)
		}
	}
}

func TestIDInJSON(t *testing.T) {
	receipt := symphony.Receipt{ID: symphony.NewID()}
	b, err := json.Marshal(receipt)
	if want := `{"id":"` + receipt.ID.String() + `"}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
	var back symphony.Receipt
	if err := json.Unmarshal(b, &back); err != nil || back.ID != receipt.ID {
		t.Error(back, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"nonsense"}`), &back); err == nil || back.ID != receipt.ID {
		t.Error("nonsense was read", back, err)
	}
}

func TestIDFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var id symphony.ID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		a, b := rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "a"), rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "b")
		own := id.For(a)
		if own != id.For(a) || !isUUIDv7(own) || millis(own) != millis(id) || own == id {
			t.Fatalf("%v for %s: %v", id, a, own)
		}
		if (own == id.For(b)) != (a == b) {
			t.Fatalf("%v is the same for %s and %s", id, a, b)
		}
		if id.For("") != id {
			t.Fatalf("%v for nobody: %v", id, id.For(""))
		}
	})
	// Stored copies are found again only while this stays as it is.
	id, err := symphony.ParseID("0191d2c8-5b1f-7c3a-9a77-2f6f0b6f6a01")
	if got := id.For("crm").String(); err != nil || got != "0191d2c8-5b1f-75ff-a4ae-947938b7dc08" {
		t.Error(got, err)
	}
}
