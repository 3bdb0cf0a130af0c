package faultstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/faultstore"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/memory"
)

func envelope() *symphony.Envelope {
	return &symphony.Envelope{ID: symphony.NewID(), Type: "test", Queue: "default", Priority: 5, Body: []byte("{}"), ContentType: "application/json"}
}

// TestFaults: each fault does what it says, to the caller and to the store.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults faultstore.Faults
		fails  bool
		stored bool
		late   bool
	}{
		{"none", faultstore.Faults{}, false, true, false},
		{"before", faultstore.Faults{Before: 1}, true, false, false},
		{"after", faultstore.Faults{After: 1}, true, true, false},
		{"late", faultstore.Faults{Late: 1, By: time.Hour}, false, true, true},
		{"outage", faultstore.Faults{Outage: 1, Gone: time.Hour}, true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(memory.Transport)
				s := faultstore.New(store, c.faults)
				env := envelope()
				begun := time.Now()
				_, err := s.Send(t.Context(), []*symphony.Envelope{env})
				if _, injected := errors.AsType[*faultstore.InjectedError](err); injected != c.fails || err != nil && !injected {
					t.Errorf("Send: %v, want an injected error: %t", err, c.fails)
				}
				if took := time.Since(begun); took > 0 != c.late {
					t.Errorf("Send took %v, want it late: %t", took, c.late)
				}
				_, err = store.Find(t.Context(), env.ID)
				if stored := !errors.Is(err, monitor.ErrNotFound); stored != c.stored {
					t.Errorf("the message is stored: %t, want %t", stored, c.stored)
				}
			})
		})
	}
}

// TestRefusalIsLostToo: also the answer that a verdict came too late can be lost.
func TestRefusalIsLostToo(t *testing.T) {
	stale := []symphony.Verdict{{Token: "stale", Outcome: symphony.Completed}}
	if err := faultstore.New(new(memory.Transport), faultstore.Faults{}).Settle(t.Context(), stale); !errors.Is(err, symphony.ErrLeaseLost) {
		t.Errorf("without faults: %v, want ErrLeaseLost", err)
	}
	err := faultstore.New(new(memory.Transport), faultstore.Faults{After: 1}).Settle(t.Context(), stale)
	if f, ok := errors.AsType[*faultstore.InjectedError](err); !ok || !f.Done {
		t.Errorf("with its answer lost: %v, want an InjectedError with Done", err)
	}
}

// TestExchange: the store is an Exchanger for workers if the one within is.
func TestExchange(t *testing.T) {
	s := faultstore.New(new(memory.Transport), faultstore.Faults{After: 1})
	ex, ok := s.Worker().(symphony.Exchanger)
	if !ok {
		t.Fatal("it cannot exchange, though the store within can")
	}
	_, err := ex.Exchange(t.Context(), nil, symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 1, Lease: time.Second})
	if _, injected := errors.AsType[*faultstore.InjectedError](err); !injected {
		t.Errorf("Exchange: %v, want an injected error", err)
	}
	if _, ok := faultstore.New(plain{new(memory.Transport)}, faultstore.Faults{}).Worker().(symphony.Exchanger); ok {
		t.Error("it can exchange, though the store within cannot")
	}
	if counts := s.Counts(); counts["Exchange after"] != 1 {
		t.Errorf("counted %v, want one Exchange after", counts)
	}
}

// plain hides all but the methods of a transport.
type plain struct{ t symphony.Transport }

func (p plain) Send(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	return p.t.Send(ctx, envs)
}

func (p plain) Receive(ctx context.Context, c symphony.Claim) ([]symphony.Delivery, error) {
	return p.t.Receive(ctx, c)
}

func (p plain) Settle(ctx context.Context, vs []symphony.Verdict) error { return p.t.Settle(ctx, vs) }

func (p plain) Renew(ctx context.Context, worker string, held []symphony.Token) (symphony.Renewal, error) {
	return p.t.Renew(ctx, worker, held)
}
func (p plain) Capabilities() symphony.Capabilities { return p.t.Capabilities() }

// TestStrand: an outage that was asked for begins with a claim of something, not before, and ends.
func TestStrand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faultstore.New(new(memory.Transport), faultstore.Faults{})
		s.Strand(time.Minute)
		claim := symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 1, Lease: time.Hour}
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if ds, _ := s.Receive(soon, claim); len(ds) > 0 {
			t.Fatalf("Receive from an empty store: %v", ds)
		}
		if _, err := s.Send(t.Context(), []*symphony.Envelope{envelope()}); err != nil {
			t.Fatalf("after a claim of nothing: %v, want no outage", err)
		}
		ds, err := s.Receive(t.Context(), claim)
		if err != nil || len(ds) != 1 {
			t.Fatalf("Receive: %v, %v, want a message", ds, err)
		}
		done := []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}
		if _, injected := errors.AsType[*faultstore.InjectedError](s.Settle(t.Context(), done)); !injected {
			t.Error("no outage after a claim")
		}
		time.Sleep(time.Minute) // of the bubble's clock
		if err := s.Settle(t.Context(), done); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}
