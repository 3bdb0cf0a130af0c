package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
	"github.com/symphony-messenger/symphony/monitor"
)

// onPostgres opens ours on a server of its own.
func onPostgres(t *testing.T) *symphonySystem {
	t.Helper()
	server, err := startServer(t.Context(), reachable(t), quick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	made := databases{server: server}
	at, _, err := made.fresh(t.Context(), "on")
	if err != nil {
		t.Fatal(err)
	}
	y, err := symphonyOnPostgres(t.Context(), at, symphonyOptions{symphonySettings{10}, "off"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := y.close(); err != nil {
			t.Error(err)
		}
	})
	return y
}

// TestManyAreAsSent: what is loaded by SQL cannot be told from what is sent, and is counted.
func TestManyAreAsSent(t *testing.T) {
	ctx, y := t.Context(), onPostgres(t)
	if err := y.insert(ctx, newJob(-1)); err != nil {
		t.Fatal(err)
	}
	if _, err := y.bus.Dispatch(ctx, newJob(-1), symphony.Delay(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []many{{"", manyBehind, 2000}, {"", manyDelayed, 1000}} {
		if err := y.loadMany(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := pgx.Connect(ctx, y.at.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `select to_jsonb(m) - array['id', 'seq', 'created_at', 'available_at', 'scheduled_at']
			|| jsonb_build_object('when', scheduled_at is null, 'then', scheduled_at is not distinct from available_at), count(*)
		from symphony.messenger_messages m group by 1`)
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Row   string
		Count int
	}])
	if err != nil {
		t.Fatal(err)
	}
	if len(kinds) != 2 || kinds[0].Count+kinds[1].Count != 3002 {
		t.Errorf("the messages differ in more than being delayed: %+v", kinds)
	}
	counts, err := y.transport.(monitor.Counter).Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[monitor.Status]int64)
	for _, c := range counts.Counts {
		got[c.Status] += c.N
	}
	if got[monitor.Pending] != 2001 || got[monitor.Scheduled] != 1001 {
		t.Errorf("the counters have %+v", counts)
	}
}

// TestDrainBesideNoticesLoss: messages that need not be handled must not get lost either.
func TestDrainBesideNoticesLoss(t *testing.T) {
	ctx, y := t.Context(), onPostgres(t)
	n, m := sizes{Drain: 100, Batch: 50}, many{"", manyDelayed, 10}
	few := m
	few.statement = strings.Replace(m.statement, "generate_series(1,", "generate_series(2,", 1)
	if values, err := drainBeside(ctx, y, n, few); err == nil {
		t.Errorf("loaded less than it should, and measured %v", values)
	}
	if err := execute(ctx, y.at.database, "delete from symphony.messenger_messages", `create function thief() returns trigger language plpgsql as $$
		begin
			if pg_trigger_depth() = 1 then delete from symphony.messenger_messages where status = 'scheduled'; end if;
			return null;
		end $$`, "create trigger thief after delete on symphony.messenger_messages execute function thief()"); err != nil {
		t.Fatal(err)
	}
	values, err := drainBeside(ctx, y, n, m)
	if err == nil || !strings.Contains(err.Error(), "10 messages were acknowledged and 0 are stored") {
		t.Errorf("measured %v, %v", values, err)
	}
}

// TestServerIsAsAsked: the figures of a server with other settings are not those of this program.
func TestServerIsAsAsked(t *testing.T) {
	y := onPostgres(t)
	if _, _, err := describeServer(t.Context(), y.at.server, quick); err != nil {
		t.Error(err)
	}
	if _, all, err := describeServer(t.Context(), y.at.server, normal); err == nil {
		t.Errorf("a server with the settings of a smoke test passes for a real one: %v", all)
	}
}

// TestUsedBy: work of a process of the server counts as the server's, also when the process has ended.
func TestUsedBy(t *testing.T) {
	ctx, y := t.Context(), onPostgres(t)
	conn, err := pgx.Connect(ctx, y.at.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const spin = `do $$ begin while clock_timestamp() < now() + interval '0.3 s' loop end loop; end $$`
	for name, work := range map[string]func() error{
		"lives": func() error { _, err := conn.Exec(ctx, spin); return err },
		"ends":  func() error { return execute(ctx, y.at.database, spin) },
	} {
		before, err := usedBy(y.server())
		if err != nil {
			t.Fatal(err)
		}
		if err := work(); err != nil {
			t.Fatal(err)
		}
		after, err := usedBy(y.server())
		if err != nil {
			t.Fatal(err)
		}
		if used := after.server - before.server; used < 50*time.Millisecond { // others may have had most of the processor
			t.Errorf("the session %s: the server has used %v for 0.3 s of work", name, used)
		}
	}
	me, err := readStat("/proc/self/stat")
	if err != nil || me.id != os.Getpid() || me.parent != os.Getppid() {
		t.Errorf("this process: %+v, %v", me, err)
	}
	if _, err := usedBy(0); err == nil {
		t.Error("a server that does not run has used nothing, without an error")
	}
}

// TestTimesWithoutWaiting: of a call, the time from its last wait counts, which ends when a statement is begun.
func TestTimesWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d durations
		statement := func(ctx context.Context, took time.Duration) {
			ctx = tracer{}.TraceAcquireStart(ctx, nil, struct{}{})
			_ = sleep.For(ctx, took)
			tracer{}.TraceQueryEnd(ctx, nil, pgx.TraceQueryEndData{})
		}
		do := func(found int) func(context.Context) ([]symphony.Delivery, error) {
			return func(ctx context.Context) ([]symphony.Delivery, error) {
				statement(ctx, 3*time.Millisecond)
				_ = sleep.For(ctx, 50*time.Millisecond)
				statement(ctx, 5*time.Millisecond)
				_ = sleep.For(ctx, time.Millisecond)
				statement(ctx, 7*time.Millisecond)
				return make([]symphony.Delivery, found), nil
			}
		}
		for found := range 2 {
			if _, err := d.of(t.Context(), do(found)); err != nil {
				t.Fatal(err)
			}
		}
		claims, calls := d.sorted()
		if len(claims) != 1 || claims[0] != 13*time.Millisecond || len(calls) != 1 || calls[0] != 66*time.Millisecond {
			t.Errorf("claims %v and calls %v, want 13ms and 66ms", claims, calls)
		}
	})
}

// TestSnapshotIsHeld: what is sent and handled while the snapshot is held is not seen by it, and cannot be removed.
func TestSnapshotIsHeld(t *testing.T) {
	ctx, y := t.Context(), onPostgres(t)
	held, err := hold(ctx, y.at.database)
	if err != nil {
		t.Fatal(err)
	}
	defer held.close()
	if err := y.insertMany(ctx, newJobs(0, 100)); err != nil {
		t.Fatal(err)
	}
	if err := execute(ctx, y.at.database, "delete from symphony.messenger_messages", "vacuum symphony.messenger_messages"); err != nil {
		t.Fatal(err)
	}
	var size int // vacuum gives back the pages of a table in which everything is removed
	if err := y.probe.(*postgresProbe).conn.QueryRow(ctx, "select pg_relation_size('symphony.messenger_messages')").Scan(&size); err != nil {
		t.Fatal(err)
	}
	if size == 0 {
		t.Error("the dead rows were removed")
	}
	if err := held.release(ctx); err != nil {
		t.Error(err)
	}
}

// TestFlowCountsOnce: a message that is delivered again was not handled faster for that.
func TestFlowCountsOnce(t *testing.T) {
	f := flow{permits: make(chan struct{}, 2)}
	f.permits <- struct{}{}
	for n := range sustainedBatch {
		f.handle(job{N: n})
		f.handle(job{N: n})
	}
	if n := f.handled.Load(); n != sustainedBatch || len(f.permits) != 0 {
		t.Errorf("%d messages were handled and %d permits are out, want %d and none", n, len(f.permits), sustainedBatch)
	}
}

// TestNumbers: each number is new once, whoever comes first and however large it is.
func TestNumbers(t *testing.T) {
	var s numbers
	var added atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := range 10_000 {
				if s.add(n) {
					added.Add(1)
				}
			}
		})
	}
	all.Wait()
	if added.Load() != 10_000 || s.add(-1) || !s.add(1_000_000) || s.add(1_000_000) {
		t.Errorf("%d of 10000 numbers were new", added.Load())
	}
}

func TestNumberIn(t *testing.T) {
	if n, err := numberIn([]byte(`{"n":1234,"to":"user-1234@example.com","text":""}`)); err != nil || n != 1234 {
		t.Errorf("%d, %v", n, err)
	}
	for _, body := range []string{"", `{"n":1234}`, `{"m":1234,`, `{"n":x,`} {
		if n, err := numberIn([]byte(body)); err == nil {
			t.Errorf("%q has number %d", body, n)
		}
	}
}
