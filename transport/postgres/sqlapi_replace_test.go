package postgres

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

// TestSQLReplaces: what becomes of a message whose key is wanted, in every state that it may be in: the same from Go and from SQL.
func TestSQLReplaces(t *testing.T) {
	run := func(t *testing.T, send func(m wished, store *Transport) (symphony.Receipt, error)) []string {
		store := openTest(t, nil)
		clock := &testClock{store: store}
		if err := store.Subscribe(t.Context(), []symphony.Subscription{{Type: "event"}, {Type: "event", Subscriber: "audit", Queue: "audit"}}); err != nil {
			t.Fatal(err)
		}
		var said []string
		var ids []symphony.ID
		name := func(id symphony.ID) int {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
			return slices.Index(ids, id)
		}
		dispatch := func(typ, body string, options ...wish) {
			t.Helper()
			r, err := send(wished{typ: typ, body: body, options: options}, store)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf("%s: %d duplicate %v replaced %v", body, name(r.ID), r.Duplicate, r.Replaced)
			for _, c := range r.Copies {
				text += fmt.Sprint(" copy ", name(c))
			}
			said = append(said, text)
		}
		take := func(queue string) symphony.Delivery {
			t.Helper()
			ds, err := store.tryReceive(t.Context(), symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: queue}}, Max: 1, Lease: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if len(ds) == 0 {
				said = append(said, "nothing to do")
				return symphony.Delivery{}
			}
			said = append(said, fmt.Sprintf("taken: %d %s", name(ds[0].Envelope.ID), ds[0].Envelope.Body))
			return ds[0]
		}
		done := func(d symphony.Delivery) {
			t.Helper()
			if err := store.Settle(t.Context(), []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}}); err != nil {
				t.Fatal(err)
			}
		}
		replace := []wish{wishKey("k"), wishTaken("replace", symphony.Replace("k", 24*time.Hour))}
		dispatch("payment", "1", replace...)
		dispatch("payment", "2", replace...)
		d := take("default")
		dispatch("payment", "3", replace...) // the key passes on
		dispatch("payment", "4", replace...)
		done(d)
		done(take("default"))
		dispatch("payment", "5", replace...) // ended, and within the window
		clock.advance(t, 25*time.Hour)
		dispatch("payment", "6", replace...)
		done(take("default"))
		wait := []wish{wishKey("d"), wishDelay(time.Minute), wishTaken("debounce", symphony.Debounce("d", time.Minute))}
		dispatch("payment", "7", wait...)
		clock.advance(t, 40*time.Second)
		dispatch("payment", "8", wait...)
		clock.advance(t, 40*time.Second)
		take("default")
		clock.advance(t, 21*time.Second)
		done(take("default"))
		dispatch("payment", "9", wait...) // its key is free at the end
		dispatch("payment", "0", wishKey("d"), wishTaken("debounce", symphony.Debounce("d", 0)))
		done(take("default"))
		// A key for each subscriber: one copy is being handled, the other waits.
		dispatch("event", "10", replace...)
		d = take("audit")
		dispatch("event", "11", replace...)
		dispatch("event", "12", replace...)
		done(d)
		done(take("audit"))
		done(take("default"))
		take("audit")
		take("default")
		return said
	}
	inGo := run(t, func(m wished, store *Transport) (symphony.Receipt, error) { return m.inGo(t.Context(), store) })
	inSQL := run(t, func(m wished, store *Transport) (symphony.Receipt, error) {
		return m.inSQL(t.Context(), store, store.Pool())
	})
	if diff := cmp.Diff(inGo, inSQL); diff != "" {
		t.Errorf("(- Go, + SQL) %s", diff)
	}
	want := []string{
		"1: 0 duplicate false replaced false", "2: 0 duplicate true replaced true", "taken: 0 2",
		"3: 1 duplicate false replaced false", "4: 1 duplicate true replaced true", "taken: 1 4",
		"5: 1 duplicate true replaced false", "6: 2 duplicate false replaced false", "taken: 2 6",
		"7: 3 duplicate false replaced false", "8: 3 duplicate true replaced true", "nothing to do", "taken: 3 8",
		"9: 4 duplicate false replaced false", "0: 4 duplicate true replaced true", "taken: 4 0",
		"10: 5 duplicate false replaced false copy 6", "taken: 6 10",
		"11: 5 duplicate false replaced true copy 7", "12: 5 duplicate true replaced true copy 7",
		"taken: 7 12", "taken: 5 12", "nothing to do", "nothing to do",
	}
	if diff := cmp.Diff(want, inSQL); diff != "" {
		t.Errorf("(- want, + SQL) %s", diff)
	}
}
