package postgres

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// ears returns a function that returns of what a store has told others since it was called last.
func ears(t *testing.T, store *Transport) (heard func() (payloads []string)) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), store.config.conn.Copy())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "listen "+pgx.Identifier{store.sql.channel()}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return func() (all []string) {
		t.Helper()
		a := &store.service.announcer
		eventually(t, "the store has told everybody", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return !a.running })
		const end = "the end" // comes after all that were told before
		if _, err := store.upkeep.Exec(t.Context(), "select pg_notify($1, $2)", store.sql.channel(), end); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), longest)
		defer cancel()
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n.Payload == end {
				return all
			}
			all = append(all, n.Payload)
		}
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	store := openTest(t, nil)
	heard := ears(t, store)
	begun := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 50 {
				if _, err := store.Send(t.Context(), []*symphony.Envelope{anEnvelope("a")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	got := heard()
	if most := int(took/announcePause) + 2; len(got) < 1 || len(got) > min(most, 500) {
		t.Errorf("%d notifications of 1,000 sends in %v, want 1 to %d", len(got), took, most)
	}
	t.Logf("%d notifications of 1,000 sends in %v", len(got), took)

	tx, err := store.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (txSender{store, inTx(tx)}).Send(t.Context(), []*symphony.Envelope{anEnvelope("a"), anEnvelope("b", inGroup("g"))}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Pool().Exec(t.Context(), store.sql.in("select symphony.dispatch('a')")); err != nil {
		t.Fatal(err)
	}
	if got := heard(); len(got) > 0 {
		t.Errorf("sends in transactions have told %v", got)
	}
	store.Wake("later")
	if got := heard(); !slices.Equal(got, []string{"later"}) {
		t.Errorf("Wake has told %v", got)
	}
}

// TestNotifyIsNotPartOfTheInsert: no transaction that stores messages has a notification: they would wait for each other.
func TestNotifyIsNotPartOfTheInsert(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	p, through := throughProxy(t, dsn)
	store := openDSN(t, through, nil)
	begin := 0
	var mu sync.Mutex
	p.on(func(statement string) bool {
		mu.Lock()
		defer mu.Unlock()
		if stores(statement) && strings.Contains(statement, "notify") || strings.HasPrefix(statement, "begin") {
			begin++
		}
		return false
	})
	for _, env := range []*symphony.Envelope{anEnvelope("a"), anEnvelope("b", withKey("k", 0)), anEnvelope("c", inGroup("g"))} {
		if _, err := store.Send(t.Context(), []*symphony.Envelope{env}); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if begin > 0 {
		t.Errorf("%d statements store and tell, or begin transactions", begin)
	}
}
