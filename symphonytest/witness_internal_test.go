package symphonytest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// Only a look at everything that the worker serves shows that there is nothing.
func TestLookerKnowsWhenItSawAll(t *testing.T) {
	all := []symphony.QueueClaim{{Name: "a"}, {Name: "b"}}
	for name, tt := range map[string]struct {
		claim symphony.Claim
		idle  bool
	}{
		"everything":     {symphony.Claim{Queues: all}, true},
		"without a type": {symphony.Claim{Queues: all, Except: []string{"busy"}}, false},
		"one queue":      {symphony.Claim{Queues: all[:1]}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := new(memory.Transport)
			l := &looker{Transport: store, exchanger: store, saw: newWitness(nil), queues: len(all)}
			tt.claim.Worker, tt.claim.Max, tt.claim.Lease = "w", 1, time.Second
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if ds, err := l.Receive(ctx, tt.claim); len(ds) != 0 || err == nil {
				t.Errorf("%s: %v, %v", name, ds, err)
			}
			if l.saw.idle() != tt.idle {
				t.Errorf("%s: idle is %v", name, l.saw.idle())
			}
			l.saw.Observe(ctx, symphony.Event{Kind: symphony.EventClaimed, Envelope: new(symphony.Envelope)})
			if l.saw.idle() {
				t.Errorf("%s: idle with a message in hand", name)
			}
		})
	}
}
