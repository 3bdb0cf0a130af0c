package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// pragma runs a statement on the connection that the transport writes with, outside a transaction.
func pragma(t *testing.T, store *Transport, text string) {
	t.Helper()
	<-store.writes.lock
	defer func() { store.writes.lock <- struct{}{} }()
	if err := store.writes.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.writes.conn.ExecContext(t.Context(), text); err != nil {
		t.Fatal(text, err)
	}
}

func count(t *testing.T, store *Transport, status monitor.Status) int64 {
	t.Helper()
	c, err := store.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, one := range c.Counts {
		if one.Status == status {
			n += one.N
		}
	}
	return n
}

func TestFullStore(t *testing.T) {
	store := openTest(t, nil)
	pragma(t, store, "pragma max_page_count = 80")
	body := bytes.Repeat([]byte("x"), 8<<10)
	accepted := int64(0)
	var err error
	for range 1000 {
		if err = send(t.Context(), store, newEnvelope("a", func(e *symphony.Envelope) { e.Body = body })); err != nil {
			break
		}
		accepted++
	}
	if !errors.Is(err, symphony.ErrStoreFull) || !strings.Contains(err.Error(), store.config.path) {
		t.Fatalf("%v: want ErrStoreFull with the path", err)
	}
	if n := count(t, store, monitor.Pending); n != accepted {
		t.Fatalf("%d messages are there, %d were accepted", n, accepted)
	}
	pragma(t, store, "pragma max_page_count = 1073741823")
	if err := send(t.Context(), store, newEnvelope("a")); err != nil {
		t.Fatal("no recovery when there is space again:", err)
	}
}

func TestReadOnlyStore(t *testing.T) {
	store := openTest(t, nil)
	pragma(t, store, "pragma query_only = 1")
	if err := send(t.Context(), store, newEnvelope("a")); !errors.Is(err, symphony.ErrStoreReadOnly) {
		t.Fatalf("%v: want ErrStoreReadOnly", err)
	}
	pragma(t, store, "pragma query_only = 0")
	if err := send(t.Context(), store, newEnvelope("a")); err != nil {
		t.Fatal(err)
	}
}

func TestLockedStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	openFile(t, path, nil)
	store, err := Open(t.Context(), "sqlite://"+path+"?busy_timeout=20ms", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	tx, err := store.DB().BeginTx(t.Context(), nil) // BEGIN IMMEDIATE
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), store, newEnvelope("a")); !errors.Is(err, symphony.ErrStoreBusy) {
		t.Fatalf("%v: want ErrStoreBusy", err)
	}
	if _, err := store.Counts(t.Context()); err != nil {
		t.Fatal("a reader was held up:", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), store, newEnvelope("a")); err != nil {
		t.Fatal(err)
	}
}

func TestNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	writeFile(t, path, []byte(strings.Repeat("this is no database ", 100)))
	store, err := Open(t.Context(), "sqlite://"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	err = send(t.Context(), store, newEnvelope("a"))
	if err == nil || !strings.Contains(err.Error(), "not a database") {
		t.Fatal(err)
	}
	if _, err := store.Migrate(t.Context()); err == nil {
		t.Fatal("migrated a file that is no database")
	}
}

func TestClosed(t *testing.T) {
	store := openTest(t, nil)
	waiting := make(chan error)
	go func() {
		_, err := store.Receive(context.Background(), claimOf("w", 1))
		waiting <- err
	}()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err == nil {
		t.Fatal("Receive on a closed transport answered")
	}
	if err := send(t.Context(), store, newEnvelope("a")); err == nil {
		t.Fatal("Send to a closed transport answered")
	}
	if err := store.Close(); err != nil {
		t.Fatal("a second Close:", err)
	}
}

// TestOneRefusedRow: of calls that share a transaction, only the one whose row is refused fails.
func TestOneRefusedRow(t *testing.T) {
	store := openTest(t, nil)
	<-store.writes.lock // those that come now wait, and share the next flush
	first := make(chan error, 1)
	go func() { first <- send(context.Background(), store, newEnvelope("first")) }()
	waitUntil(t, func() bool { return taken(store) })
	errs := make([]error, 50)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = send(context.Background(), store, newEnvelope("a", func(e *symphony.Envelope) {
				if i == 20 {
					e.Priority = 11 // a bus refuses it before; the table's CHECK does here
				}
			}))
		})
	}
	waitUntil(t, func() bool { return queued(store, 50) })
	store.writes.lock <- struct{}{}
	wg.Wait()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if (err != nil) != (i == 20) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n := count(t, store, monitor.Pending); n != 50 {
		t.Errorf("%d messages, want 50", n)
	}
}

// TestSendEnded: a call whose context ends before its flush has begun stores nothing; one that ends
// during its flush has an unknown outcome.
func TestSendEnded(t *testing.T) {
	store := openTest(t, nil)
	<-store.writes.lock
	led := make(chan error, 1)
	go func() { led <- send(context.Background(), store, newEnvelope("leader")) }()
	waitUntil(t, func() bool { return taken(store) })

	ctx, cancel := context.WithCancelCause(t.Context())
	waits := make(chan error, 1)
	go func() { waits <- send(ctx, store, newEnvelope("waits")) }()
	waitUntil(t, func() bool { return queued(store, 1) })
	cancel(errors.New("enough"))
	if err := <-waits; !errors.Is(err, context.Canceled) || errors.Is(err, symphony.ErrOutcomeUnknown) {
		t.Fatalf("%v: want context.Canceled alone", err)
	}

	// Two that wait: one of them leads the next flush and has the other in it.
	ctx, cancel = context.WithCancelCause(t.Context())
	both := make(chan error, 2)
	for range 2 {
		go func() { both <- send(ctx, store, newEnvelope("pair")) }()
	}
	waitUntil(t, func() bool { return queued(store, 2) })
	store.writes.lock <- struct{}{}
	if err := <-led; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-both; err != nil {
			t.Fatal(err)
		}
	}
	cancel(nil)

	<-store.writes.lock
	go func() { led <- send(context.Background(), store, newEnvelope("leader")) }()
	waitUntil(t, func() bool { return taken(store) })
	go func() { both <- send(context.Background(), store, newEnvelope("second leader")) }()
	waitUntil(t, func() bool { return queued(store, 1) })
	ctx, cancel = context.WithCancelCause(t.Context())
	go func() { both <- send(ctx, store, newEnvelope("follows")) }()
	waitUntil(t, func() bool { return queued(store, 2) })
	hold := make(chan struct{})
	t.Cleanup(func() { cancel(nil) })
	go func() { // takes the lock between the two flushes, so that the second is caught in the middle
		store.writes.lock <- struct{}{}
		<-store.writes.lock
		waitUntil(t, func() bool { return taken(store) })
		cancel(errors.New("enough"))
		<-hold
		store.writes.lock <- struct{}{}
	}()
	if err := <-led; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	err := <-both
	if !errors.Is(err, symphony.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v: want ErrOutcomeUnknown and context.Canceled", err)
	}
	close(hold)
	if err := <-both; err != nil {
		t.Error(err)
	}
}

func TestUseInTransactions(t *testing.T) {
	store, other := openTest(t, nil), openTest(t, nil)
	bus := &symphony.Bus{Transport: store}
	elsewhere, err := other.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Rollback()
	_, err = bus.With(store.InSQLTx(elsewhere)).Dispatch(t.Context(), symphony.Raw{Type: "a", Body: []byte("1")})
	if err == nil || !strings.Contains(err.Error(), "another file") {
		t.Fatalf("%v: want a refusal of a transaction on another file", err)
	}
	tx, err := store.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	err = store.Complete(t.Context(), tx)
	if err == nil || !strings.Contains(err.Error(), "no message") {
		t.Fatalf("%v: want a refusal outside a handler", err)
	}
}

func TestNewOnAnOpenDatabase(t *testing.T) {
	path := openTest(t, nil).config.path
	c, err := parseDSN("sqlite://" + path)
	if err != nil {
		t.Fatal(err)
	}
	db := openDB(t, c.driverDSN())
	store, err := New(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := send(t.Context(), store, newEnvelope("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), openDB(t, ":memory:"), nil); err == nil || !strings.Contains(err.Error(), "no file") {
		t.Fatalf("%v: want a refusal of a database in memory", err)
	}
}

// TestTwoHandles: two transports on one file, as two processes have them, share the work; each
// message is leased once.
func TestTwoHandles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	const n = 2000
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	var mu sync.Mutex
	seen := make(map[symphony.ID]int)
	var wg sync.WaitGroup
	for i := range 2 {
		store := openFile(t, path, nil)
		wg.Go(func() {
			for range n / 2 {
				if err := send(t.Context(), store, newEnvelope("a")); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for {
				ds, err := store.Receive(ctx, claimOf(fmt.Sprint("w", i), 50))
				if err != nil {
					return // ctx has ended
				}
				verdicts := make([]symphony.Verdict, len(ds))
				mu.Lock()
				for i, d := range ds {
					seen[d.Envelope.ID]++
					verdicts[i] = symphony.Verdict{Token: d.Token, Outcome: symphony.Completed}
				}
				if len(seen) == n {
					done()
				}
				mu.Unlock()
				if err := store.Settle(t.Context(), verdicts); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != n {
		t.Errorf("%d messages were leased, want %d", len(seen), n)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("message %s was leased %d times", id, times)
		}
	}
}
