package sqlite

import (
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

// TestClaimAtOneTime: what a claim finds is what is due at the one moment that it calls now, also when it
// ends others on the way, and a later look at the clock would make more due. The clock of this test moves
// by a millisecond whenever it is read.
func TestClaimAtOneTime(t *testing.T) {
	const wait, lease = 100 * time.Millisecond, 50 * time.Millisecond
	for name, leave := range map[string]func(t *testing.T, store *Transport, id symphony.ID){
		"one has expired": func(*testing.T, *Transport, symphony.ID) {},
		"one was cancelled in a worker that died": func(t *testing.T, store *Transport, id symphony.ID) {
			if ds := claimOne(t, store, lease); len(ds) != 1 {
				t.Fatalf("claimed %d messages, want the first one", len(ds))
			}
			if _, err := store.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for before := range int64(4) { // milliseconds until the next one is due
				store := openTest(t, nil)
				now, step := int64(1_800_000_000_000), int64(0)
				store.clock = func() int64 { now += step; return now - step }
				due := time.UnixMilli(now).Add(wait)
				bus := &symphony.Bus{Transport: store}
				first, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "first", Body: []byte("1")}, symphony.Group("g"), symphony.Expires(lease))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "next", Body: []byte("2")}, symphony.Delay(wait)); err != nil {
					t.Fatal(err)
				}
				leave(t, store, first.ID)

				now, step = due.UnixMilli()-before, 1
				var ds []symphony.Delivery
				for range 5 {
					if ds = append(ds, claimOne(t, store, lease)...); len(ds) > 0 {
						break
					}
				}
				if len(ds) != 1 || ds[0].Envelope.Type != "next" || ds[0].ClaimedAt.Before(due) {
					t.Errorf("from %d ms before it was due on: claimed %+v, want the next one, not before %v", before, ds, due)
				}
			}
		})
	}
}

func claimOne(t *testing.T, store *Transport, lease time.Duration) []symphony.Delivery {
	t.Helper()
	ds, err := store.Exchange(t.Context(), nil, symphony.Claim{
		Worker: t.Name(), Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 1, Lease: lease,
	})
	if err != nil {
		t.Fatal(err)
	}
	return ds
}
