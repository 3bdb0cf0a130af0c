package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

// counting counts the statements that go through an executor.
type counting struct {
	executor
	n int
}

func (c *counting) query(ctx context.Context, text string, args []any, each func(scan scanner) error) error {
	c.n++
	return c.executor.query(ctx, text, args, each)
}

// TestOneTripASend: who knows the subscriptions does not read them for each send, with keys and groups or without. The statement
// says when they have changed.
func TestOneTripASend(t *testing.T) {
	store := openTest(t, nil)
	send := func(ex executor, change func(*symphony.Envelope)) {
		t.Helper()
		env := &symphony.Envelope{ID: symphony.NewID(), Type: "a", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte("{}")}
		change(env)
		c := counting{executor: ex}
		rs, err := store.insert(t.Context(), &c, []*symphony.Envelope{env})
		if err != nil || rs[0].ID != env.ID || rs[0].Duplicate {
			t.Fatal(rs, err)
		}
		if c.n != 1 {
			t.Errorf("%d statements for one send of %+v", c.n, env)
		}
	}
	if _, err := store.subs.read(t.Context(), native{store.sending}, store.sql.subscriptions); err != nil {
		t.Fatal(err)
	}
	send(native{store.sending}, func(*symphony.Envelope) {})
	send(native{store.sending}, func(env *symphony.Envelope) { env.Key, env.Window = "k", time.Hour })
	send(native{store.sending}, func(env *symphony.Envelope) { env.Group = "g" })

	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	c := counting{executor: inTx(tx)}
	env := &symphony.Envelope{ID: symphony.NewID(), Type: "a", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte("{}")}
	if _, err := store.accept(t.Context(), &c, []*symphony.Envelope{env}); err != nil || c.n != 1 {
		t.Errorf("%d statements for one send in a transaction: %v", c.n, err)
	}
}

// TestPlentyHidesNothing: a worker that never runs out of messages does not look before each claim for what else has become claimable, and finds it
// all the same.
func TestPlentyHidesNothing(t *testing.T) {
	store := openTest(t, nil)
	var envs []*symphony.Envelope
	for range 3000 {
		envs = append(envs, &symphony.Envelope{ID: symphony.NewID(), Type: "a", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte("{}")})
	}
	if _, err := store.Send(t.Context(), envs); err != nil {
		t.Fatal(err)
	}
	later := sendOne(t, store, func(env *symphony.Envelope) { env.Priority, env.Delay = 9, 50*time.Millisecond })
	for i := range len(envs) / 2 {
		ds, err := store.Receive(t.Context(), claimFor("w", 2))
		if err != nil {
			t.Fatal(err)
		}
		if ds[0].Envelope.ID == later.ID {
			t.Log("it came after", i)
			return
		}
	}
	t.Error("what became due is claimed after everything else, although it comes first")
}
