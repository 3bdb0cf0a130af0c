package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// one reads the one value that a query answers, as text; null is "".
func one(t *testing.T, store *Transport, conn querier, text string, args ...any) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), store.sql.in(text), args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[*string])
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if v == nil {
		return ""
	}
	return *v
}

// TestSQLKeys: windows by the store's clock, what lives keeps its key, and the receipt of a duplicate.
func TestSQLKeys(t *testing.T) {
	store := openTest(t, nil)
	clock := &testClock{store: store}
	dispatch := func(args string) (id string, duplicate bool) {
		t.Helper()
		answer := one(t, store, store.Pool(), "select (d.id, d.duplicate)::text from symphony.dispatch('payment', '{}', idempotency_key => 'k', "+args+") d")
		id, dup, _ := strings.Cut(strings.Trim(answer, "()"), ",")
		return id, dup == "t"
	}
	settle := func(id string) {
		t.Helper()
		ds := lease(t, store, "w", 1)
		if len(ds) != 1 || ds[0].Envelope.ID.String() != id {
			t.Fatal(ds)
		}
		if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil {
			t.Fatal(err)
		}
	}
	first, dup := dispatch("key_window => '1 hour'")
	if dup {
		t.Fatal("the first is a duplicate")
	}
	clock.advance(t, 2*time.Hour)
	if id, dup := dispatch("key_window => '1 hour'"); !dup || id != first {
		t.Error("the window is over, but the message lives: its key was free")
	}
	settle(first)
	second, dup := dispatch("key_window => '1 hour'")
	if dup || second == first {
		t.Fatal("window over and message ended: the key is taken")
	}
	settle(second)
	if id, dup := dispatch("key_window => '0'"); !dup || id != second {
		t.Error("inside the window the key of a completed message was free")
	}
	clock.advance(t, time.Hour+time.Second)
	third, dup := dispatch("key_window => '0'")
	if dup {
		t.Fatal("after the window the key is taken")
	}
	settle(third)
	if _, dup := dispatch("key_window => '0'"); dup {
		t.Error("a window of zero: the key is taken after the message has ended")
	}
	// Other types and subscribers have keys of their own, whatever the queue.
	if got := one(t, store, store.Pool(), "select duplicate::text from symphony.dispatch('other', '{}', idempotency_key => 'k')"); got != "false" {
		t.Error("another type: duplicate", got)
	}
	if _, dup := dispatch("queue => 'elsewhere'"); !dup {
		t.Error("another queue: no duplicate")
	}
}

// TestSQLGroups: one at a time, in the order of becoming due, whoever sent them.
func TestSQLGroups(t *testing.T) {
	store := openTest(t, nil)
	var want []string
	for i := range 3 {
		want = append(want, one(t, store, store.Pool(), "select id::text from symphony.dispatch('payment', '{}', group_key => 'g', priority => $1)", i+1))
		want = append(want, sendOne(t, store, func(e *symphony.Envelope) { e.Group, e.Priority = "g", 9 }).ID.String())
	}
	var got []string
	for range want {
		ds := lease(t, store, "w", 10)
		if len(ds) != 1 {
			t.Fatalf("%d of one group at a time", len(ds))
		}
		got = append(got, ds[0].Envelope.ID.String())
		if err := store.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSQLCancel(t *testing.T) {
	store := openTest(t, nil)
	cancel := func(id symphony.ID) string {
		return one(t, store, store.Pool(), "select symphony.cancel($1)", id.String())
	}
	running, queued := sendOne(t, store, nil), sendOne(t, store, func(e *symphony.Envelope) { e.Delay, e.Key = time.Hour, "k" })
	d := lease(t, store, "w", 1)[0]
	if got := cancel(queued.ID); got != "cancelled" || statusOf(t, store, queued.ID).Status != monitor.Cancelled {
		t.Errorf("a queued one: %q", got)
	}
	if got := cancel(queued.ID); got != "" {
		t.Errorf("the second time: %q", got)
	}
	if got := cancel(symphony.NewID()); got != "" {
		t.Errorf("an unknown one: %q", got)
	}
	if got := one(t, store, store.Pool(), "select symphony.cancel(null)"); got != "" {
		t.Errorf("null: %q", got)
	}
	if got := cancel(running.ID); got != "processing" || statusOf(t, store, running.ID).Status != monitor.Processing {
		t.Errorf("a running one: %q", got)
	}
	r, err := store.Renew(t.Context(), "w", []symphony.Token{d.Token})
	if err != nil || len(r.Cancelled) != 1 || len(r.Lost) != 0 {
		t.Errorf("its worker is told %+v, %v", r, err)
	}
	tx := begin(t, store)
	third := sendOne(t, store, nil)
	mustExec(t, tx, store.sql.in("select symphony.cancel($1)"), third.ID.String())
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, store, third.ID).Status; s != monitor.Pending {
		t.Errorf("a cancel that was rolled back: %s", s)
	}
}

// TestSQLWake: wake, and dispatch with it, are heard by transports elsewhere at the commit, and not when it is rolled back.
func TestSQLWake(t *testing.T) {
	store := openTest(t, nil)
	listening(t, store)
	listener := adminConn(t, store.config.conn.ConnString())
	mustExec(t, listener, "listen "+pgx.Identifier{store.sql.channel()}.Sanitize())
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	next := func(want string) {
		t.Helper()
		if n, err := listener.WaitForNotification(ctx); err != nil || n.Payload != want {
			t.Errorf("the next to be told of is %+v, %v; want queue %s", n, err, want)
		}
	}
	tx := begin(t, store)
	mustExec(t, tx, store.sql.in("select symphony.dispatch('payment', '{}', wake => true, queue => 'never')"))
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, store.Pool(), store.sql.in("select symphony.dispatch('payment', '{}', queue => 'silent')"))
	heard := hearWake(store)
	mustExec(t, store.Pool(), store.sql.in("select symphony.wake()"))
	heard(t)
	next("default")
	heard = hearWake(store)
	mustExec(t, store.Pool(), store.sql.in("select symphony.dispatch('payment', '{}', wake => true, queue => 'q')"))
	heard(t)
	next("q")
	ds, err := store.Receive(ctx, symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "q"}}, Max: 5, Lease: time.Minute})
	if err != nil || len(ds) != 1 {
		t.Error(ds, err)
	}
}

// TestSQLRollback: nothing is left of what a rolled back transaction sent, in Go or SQL: no message, count, key or place in a group.
func TestSQLRollback(t *testing.T) {
	store := openTest(t, nil)
	everything := func() string {
		var all []string
		for _, table := range append([]string{"messenger_failed_messages", "messenger_history"}, hot...) {
			all = append(all, table+" "+one(t, store, store.Pool(), "select count(*)::text from symphony."+table))
		}
		return strings.Join(all, ", ")
	}
	before := everything()
	bus := &symphony.Bus{Transport: store}
	for _, savepoint := range []bool{false, true} {
		tx := begin(t, store)
		mustExec(t, tx, "savepoint s")
		mustExec(t, tx, store.sql.in("select symphony.dispatch('payment', '{}', idempotency_key => 'k', group_key => 'g'), symphony.dispatch('payment', '{}', delay => '1 h')"))
		if _, err := bus.Dispatch(t.Context(), payment{1}, symphony.IdempotencyKey("k2", time.Hour), symphony.Group("g2"), store.InTx(tx)); err != nil {
			t.Fatal(err)
		}
		var err error
		if savepoint {
			mustExec(t, tx, "rollback to savepoint s")
			err = tx.Commit(t.Context())
		} else {
			err = tx.Rollback(t.Context())
		}
		if after := everything(); after != before || err != nil {
			t.Errorf("savepoint %v: %v\nbefore %s\nafter  %s", savepoint, err, before, after)
		}
	}
	if got := one(t, store, store.Pool(), "select duplicate::text from symphony.dispatch('payment', '{}', idempotency_key => 'k', group_key => 'g')"); got != "false" {
		t.Error("the key of a rolled back dispatch is taken")
	}
	if ds := lease(t, store, "w", 5); len(ds) != 1 {
		t.Error("its group is held:", ds)
	}
}

func TestDispatchRow(t *testing.T) {
	store := openTest(t, nil)
	mustExec(t, store.Pool(), store.sql.in(`create table symphony.orders (id integer, "odd name" text, data bytea);
create trigger announce after insert or update on symphony.orders for each row execute function symphony.dispatch_row('order.placed', 'orders', 'odd name')`))
	count := func() string {
		return one(t, store, store.Pool(), "select count(*)::text from symphony.messenger_messages where message_type = 'order.placed'")
	}
	insert := store.sql.in("insert into symphony.orders values ")
	tx := begin(t, store)
	mustExec(t, tx, insert+`(0, 'a', '')`)
	if err := tx.Rollback(t.Context()); err != nil || count() != "0" {
		t.Error("a rolled back row was sent:", count(), err)
	}
	mustExec(t, store.Pool(), insert+`(1, 'a', '\x00ff'), (2, 'a', null), (3, 'b"\', null), (4, null, null), (5, null, null)`)
	if count() != "4" { // 1 and 2 have one key, 4 and 5 have none
		t.Errorf("%s messages of five rows, want 4", count())
	}
	mustExec(t, store.Pool(), store.sql.in("update symphony.orders set id = 6 where id = 1"))
	if count() != "4" {
		t.Errorf("%s messages after an update of a row whose key is taken, want 4", count())
	}
	var r monitor.Record
	id, err := symphony.ParseID(one(t, store, store.Pool(), "select id::text from symphony.messenger_messages where idempotency_key = 'a'"))
	if err == nil {
		r, err = store.Find(t.Context(), id)
	}
	if want := `{"id":1,"odd name":"a","data":"\\x00ff"}`; err != nil || string(r.Body) != want || r.Queue != "orders" || r.ContentType != "application/json" {
		t.Errorf("%s in %s, %v; want %s", r.Body, r.Queue, err, want)
	}
	if _, err := store.Pool().Exec(t.Context(), insert+"(7, '', null)"); err == nil || codeOf(err) != "22023" {
		t.Errorf("an empty key: %v", err)
	}
	for args, want := range map[string]string{
		"": "takes a message type", "'a','b','id','c'": "takes a message type", "'a','b','nope'": "has no column nope", "'a b'": "message type", "'a','B'": "queue", "'a',''": "queue",
	} {
		table := fmt.Sprintf("wrong%d", len(args))
		mustExec(t, store.Pool(), store.sql.in(fmt.Sprintf(`create table symphony.%[1]s (id integer);
create trigger announce after insert on symphony.%[1]s for each row execute function symphony.dispatch_row(%[2]s)`, table, args)))
		if _, err := store.Pool().Exec(t.Context(), store.sql.in("insert into symphony."+table+" values (1)")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("dispatch_row(%s): %v; want an error with %q", args, err, want)
		}
	}
	mustExec(t, store.Pool(), store.sql.in(`create table symphony.few (id integer);
create trigger announce after insert on symphony.few for each row execute function symphony.dispatch_row('few');
insert into symphony.few values (1), (2)`))
	if got := one(t, store, store.Pool(), "select string_agg(queue_name, ',') from symphony.messenger_messages where message_type = 'few'"); got != "default,default" {
		t.Errorf("without a queue: %s", got)
	}
}

// TestViews puts a message into every state and looks at it as a person would.
func TestViews(t *testing.T) {
	store := openTest(t, &Options{Name: "main"})
	clock := &testClock{store: store}
	want := make(map[string]string)
	settled := func(status string, v symphony.Verdict) {
		t.Helper()
		env := sendOne(t, store, nil)
		ds := lease(t, store, "w", 1)
		if len(ds) != 1 || ds[0].Envelope.ID != env.ID {
			t.Fatal(ds)
		}
		v.Token = ds[0].Token
		if err := store.Settle(t.Context(), []symphony.Verdict{v}); err != nil {
			t.Fatal(err)
		}
		want[env.ID.String()] = status
	}
	settled("completed", symphony.Verdict{Outcome: symphony.Completed})
	settled("cancelled", symphony.Verdict{Outcome: symphony.Cancelled})
	for _, text := range []string{"order 17 is gone", "order 18 is gone"} {
		settled("failed", symphony.Verdict{Outcome: symphony.Failed, Reason: symphony.ReasonPermanent, Failure: &symphony.Failure{Error: text, Class: "gone"}})
	}
	settled("failed", symphony.Verdict{Outcome: symphony.Failed, Reason: symphony.ReasonExhausted, Failure: &symphony.Failure{Error: "else", Class: "gone"}})
	want[sendOne(t, store, func(e *symphony.Envelope) { e.Expires = time.Second }).ID.String()] = "expired"
	clock.advance(t, time.Minute)
	if _, err := store.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	processing := sendOne(t, store, nil)
	if ds := lease(t, store, "w", 1); len(ds) != 1 {
		t.Fatal(ds)
	}
	want[processing.ID.String()] = "processing"
	want[sendOne(t, store, func(e *symphony.Envelope) { e.Delay = time.Hour }).ID.String()] = "scheduled"
	for content, body := range map[string]string{"application/json": "\xffno", "text/plain": "{}"} {
		want[sendOne(t, store, func(e *symphony.Envelope) { e.ContentType, e.Body = content, []byte(body) }).ID.String()] = "pending"
	}
	rows, err := store.Pool().Query(t.Context(), store.sql.in(`select id::text, status::text, coalesce(body_json ->> 'Amount', 'none') || octet_length(body),
  coalesce(locked_by, '') || (lock_expires_at > locked_at) from symphony.messenger_overview`))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for rows.Next() {
		var id, status, json string
		var locked *string
		if err := rows.Scan(&id, &status, &json, &locked); err != nil {
			t.Fatal(err)
		}
		got[id] = status
		if wantJSON := map[bool]string{true: "none", false: "7"}[status == "pending"]; !strings.HasPrefix(json, wantJSON) {
			t.Errorf("the body of the %s one is shown as %s", status, json)
		}
		if (status == "processing") != (locked != nil && *locked == "wtrue") {
			t.Errorf("the %s one is locked by %v", status, locked)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("overview:", diff)
	}
	for text, want := range map[string]string{
		"select row_to_json(q)::text from symphony.messenger_queue_depth q":                                                                       `{"queue_name":"default","pending":2,"scheduled":1,"processing":1,"failed":3}`,
		"select string_agg(reason || count, ',' order by reason) from symphony.messenger_failed_summary":                                          "exhausted1,permanent2",
		"select string_agg(transport, ',') from symphony.messenger_failed_messages":                                                               "main,main,main",
		"select concat_ws(',', pending, scheduled, processing, completed, failed, cancelled, expired, no_handler) from symphony.messenger_counts": "2,1,1,1,3,1,1,0",
		"select count(*)::text from symphony.messenger_schedules_summary":                                                                         "0",
	} {
		for range 2 { // before and after the changes are folded
			if got := one(t, store, store.Pool(), text); got != want {
				t.Errorf("%s: %s, want %s", text, got, want)
			}
			if err := store.fold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestIsolationLevels: a key that somebody else took and committed after the snapshot: the caller gets 40001, repeats, and is told of the
// duplicate. It does not turn in circles, and it stores nothing twice.
func TestIsolationLevels(t *testing.T) {
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		for _, way := range []string{"Go", "SQL"} {
			t.Run(fmt.Sprint(level, " ", way), func(t *testing.T) {
				store := openTest(t, nil)
				bus := &symphony.Bus{Transport: store}
				ctx, cancel := context.WithTimeout(t.Context(), longest)
				defer cancel()
				dispatch := func(tx pgx.Tx) (duplicate bool, err error) {
					if way == "Go" {
						r, err := bus.Dispatch(ctx, payment{1}, symphony.IdempotencyKey("k", time.Hour), store.InTx(tx))
						return r.Duplicate, err
					}
					err = tx.QueryRow(ctx, store.sql.in("select duplicate from symphony.dispatch('payment', '{}', idempotency_key => 'k')")).Scan(&duplicate)
					return duplicate, err
				}
				tx, err := store.Pool().BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback(context.WithoutCancel(ctx))
				if _, err := tx.Exec(ctx, "select 1"); err != nil { // its snapshot
					t.Fatal(err)
				}
				if _, err := tx.Exec(ctx, store.sql.in("select count(*) from symphony.messenger_keys")); err != nil {
					t.Fatal(err)
				}
				first := sendOne(t, store, func(e *symphony.Envelope) { e.Key, e.Window = "k", time.Hour })
				if _, err := dispatch(tx); codeOf(err) != "40001" || errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("%v; want a serialization failure", err)
				}
				if err := tx.Rollback(ctx); err != nil {
					t.Fatal(err)
				}
				again, err := store.Pool().BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
				if err != nil {
					t.Fatal(err)
				}
				defer again.Rollback(context.WithoutCancel(ctx))
				if duplicate, err := dispatch(again); err != nil || !duplicate {
					t.Fatal("repeated:", duplicate, err)
				}
				if err := again.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				if n := one(t, store, store.Pool(), "select count(*)::text from symphony.messenger_messages"); n != "1" || statusOf(t, store, first.ID).Status != monitor.Pending {
					t.Error(n, "messages")
				}
				// One that is still open makes the others wait, and then they are told.
				open := begin(t, store)
				if _, err := open.Exec(ctx, store.sql.in("select symphony.dispatch('payment', '{}', idempotency_key => 'k2')")); err != nil {
					t.Fatal(err)
				}
				waits, err := store.Pool().BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
				if err != nil {
					t.Fatal(err)
				}
				defer waits.Rollback(context.WithoutCancel(ctx))
				done := make(chan error, 1)
				go func() {
					_, err := waits.Exec(ctx, store.sql.in("select symphony.dispatch('payment', '{}', idempotency_key => 'k2')"))
					done <- err
				}()
				eventually(t, "the other one waits", func() bool {
					return one(t, store, store.work, "select count(*)::text from pg_catalog.pg_stat_activity where datname = current_database() and pid = $1 and wait_event_type = 'Lock'",
						waits.Conn().PgConn().PID()) == "1"
				})
				if err := open.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				if err := <-done; codeOf(err) != "40001" {
					t.Fatalf("waited: %v; want a serialization failure", err)
				}
			})
		}
	}
}
