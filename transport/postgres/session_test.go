package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

// evil are objects that a search_path finds before those that are meant.
var evil = []string{
	"create schema evil",
	"grant usage on schema evil to public",
	"create table evil.messenger_messages (id uuid)",
	"create table evil.messenger_state (name text, number bigint)",
	"create function evil.now() returns timestamptz language sql as $$ select '1999-01-01'::timestamptz $$",
	"create function evil.clock_timestamp() returns timestamptz language sql as $$ select '1999-01-01'::timestamptz $$",
	"create function evil.unnest(uuid[]) returns setof uuid language sql as $$ select null::uuid where false $$",
	"create function evil.unnest(text[]) returns setof text language sql as $$ select null::text where false $$",
	"create function evil.cardinality(uuid[]) returns integer language sql as $$ select 0 $$",
	"create function evil.sha256(bytea) returns bytea language sql as $$ select ''::bytea $$",
	"create function evil.one(bigint) returns bigint language sql as $$ select 7::bigint $$",
	"create aggregate evil.count(*) (sfunc = evil.one, stype = bigint, initcond = '0')",
	"create function evil.no(text, text) returns boolean language sql as $$ select false $$",
	"create operator evil.= (leftarg = text, rightarg = text, function = evil.no)",
	"create function evil.times(bigint, interval) returns interval language sql as $$ select '100 years'::interval $$",
	"create operator evil.* (leftarg = bigint, rightarg = interval, function = evil.times)",
	"create function evil.none(bigint, bigint) returns boolean language sql as $$ select false $$",
	"create operator evil.= (leftarg = bigint, rightarg = bigint, function = evil.none)",
	"grant execute on all functions in schema evil to public",
}

// settings are what somebody may have set for the role.
var roleSettings = map[string][]string{
	"plain":        nil,
	"serializable": {"default_transaction_isolation = serializable"},
	"hostile path": {"search_path = evil, pg_catalog"},
	"timeouts": {
		"statement_timeout = '3s'", "idle_in_transaction_session_timeout = '10s'", "lock_timeout = '1s'",
	},
	"oddities": {
		"timezone = 'Asia/Kathmandu'", "datestyle = 'SQL, DMY'", "intervalstyle = sql_standard", "bytea_output = escape", "extra_float_digits = -15",
		"xmloption = document", "quote_all_identifiers = on", "transform_null_equals = on", "row_security = off", "array_nulls = off",
	},
	"strings": {"standard_conforming_strings = off", "backslash_quote = off", "escape_string_warning = off"},
}

// roleDSN makes a database of its own for a role with settings, and returns the DSN of the role.
func roleDSN(t *testing.T, settings []string) string {
	t.Helper()
	admin := adminOf(t)
	role := "r" + strings.ReplaceAll(symphony.NewID().String(), "-", "")
	ctx := context.WithoutCancel(t.Context())
	if _, err := admin.Exec(ctx, "create role "+role+" login"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the database is gone
		if _, err := admin.Exec(ctx, "drop role "+role); err != nil {
			t.Error(err)
		}
		_ = admin.Close(ctx)
	})
	dsn := pgtest.Database(t)
	inside, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close(ctx)
	texts := append(slices.Clone(evil), "grant create on database "+pgx.Identifier{inside.Config().Database}.Sanitize()+" to "+role)
	for _, s := range settings {
		texts = append(texts, "alter role "+role+" set "+s)
	}
	for _, text := range texts {
		if _, err := inside.Exec(ctx, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return u.String()
}

func adminOf(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.WithoutCancel(t.Context()), pgtest.Server(t).DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestSessions walks the whole path of messages under the settings of a role, and with all ways in which connections may send their
// statements.
func TestSessions(t *testing.T) {
	t.Parallel()
	for name, settings := range roleSettings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := roleDSN(t, settings)
			openDSN(t, dsn, nil)
			t.Run("dsn", func(t *testing.T) { wholePath(t, openDSN(t, dsn, nil)) })
			t.Run("pgbouncer", func(t *testing.T) {
				wholePath(t, openDSN(t, dsn+"&pgbouncer=true", &Options{Logger: slog.New(slog.DiscardHandler)}))
			})
			for mode, how := range map[string]pgx.QueryExecMode{
				"simple": pgx.QueryExecModeSimpleProtocol, "exec": pgx.QueryExecModeExec, "describe": pgx.QueryExecModeDescribeExec,
				"cache describe": pgx.QueryExecModeCacheDescribe,
			} {
				if name == "strings" && mode == "simple" {
					continue // the driver itself refuses that
				}
				t.Run(mode, func(t *testing.T) {
					c, err := pgxpool.ParseConfig(dsn)
					if err != nil {
						t.Fatal(err)
					}
					c.ConnConfig.DefaultQueryExecMode = how
					pool, err := pgxpool.NewWithConfig(t.Context(), c)
					if err != nil {
						t.Fatal(err)
					}
					defer pool.Close()
					store, err := New(t.Context(), pool, nil)
					if err != nil {
						t.Fatal(err)
					}
					defer store.Close()
					wholePath(t, store)
				})
			}
		})
	}
}

// A pathWalk is one walk through everything; queue is its own.
type pathWalk struct {
	*testing.T
	store *Transport
	queue string
	held  map[symphony.ID]symphony.Delivery
}

func wholePath(t *testing.T, store *Transport) {
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	w := &pathWalk{t, store, "q" + strings.ReplaceAll(symphony.NewID().String(), "-", ""), make(map[symphony.ID]symphony.Delivery)}
	w.sends(ctx)
	w.inTx(ctx)
	w.settles(ctx)
	w.repairs(ctx)
	if _, err := store.Maintain(ctx); err != nil {
		t.Error("Maintain:", err)
	}
	w.exact(ctx)
}

func (w *pathWalk) env(typ string, change ...func(*symphony.Envelope)) *symphony.Envelope {
	return anEnvelope(typ, append(change, func(e *symphony.Envelope) {
		e.Queue = w.queue
		if e.Key != "" {
			e.Key += w.queue
		}
	})...)
}

func (w *pathWalk) claim(most int) symphony.Claim {
	return symphony.Claim{Worker: "w" + w.queue, Queues: []symphony.QueueClaim{{Name: w.queue}}, Max: most, Lease: 30 * time.Second}
}

// take receives until everything of envs is held.
func (w *pathWalk) take(ctx context.Context, envs ...*symphony.Envelope) {
	w.Helper()
	ctx, cancel := context.WithTimeout(ctx, longest/2)
	defer cancel()
	for {
		missing := slices.IndexFunc(envs, func(e *symphony.Envelope) bool { _, ok := w.held[e.ID]; return !ok })
		if missing < 0 {
			return
		}
		ds, err := w.store.Receive(ctx, w.claim(50))
		if err != nil {
			w.Fatalf("receive %s: %v", envs[missing].Type, err)
		}
		for _, d := range ds {
			w.held[d.Envelope.ID] = d
		}
	}
}

func (w *pathWalk) sends(ctx context.Context) {
	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	most := 3
	rich := w.env("rich", withKey(`k"\'%${}`, time.Hour), inGroup(`g'"\`), func(e *symphony.Envelope) {
		e.Body, e.ContentType, e.Headers, e.Tags = body, "application/octet-stream", map[string]string{"a": `x"\'${}`, "b": "ü"}, []string{`t,{}"\'`, "NULL", " "}
		e.MaxRetries, e.Expires, e.Version, e.Priority = &most, time.Hour, 7, 9
	})
	later := w.env("later", func(e *symphony.Envelope) { e.At = time.Now().Add(20 * time.Millisecond) })
	envs := []*symphony.Envelope{w.env("a"), rich, w.env("delayed", func(e *symphony.Envelope) { e.Delay = 20 * time.Millisecond }), later}
	for i, batch := range [][]*symphony.Envelope{envs[:1], envs[1:2], envs[2:]} {
		rs, err := w.store.Send(ctx, batch)
		if err != nil {
			w.Fatalf("send %d: %v", i, err)
		}
		for n, r := range rs {
			if r.Duplicate || r.ID != batch[n].ID {
				w.Errorf("receipt of send %d: %+v", i, r)
			}
		}
	}
	again := w.env("rich", withKey(`k"\'%${}`, time.Hour))
	if rs, err := w.store.Send(ctx, []*symphony.Envelope{again}); err != nil || !rs[0].Duplicate || rs[0].ID != rich.ID {
		w.Errorf("a key that is taken: %+v, %v", rs, err)
	}
	w.take(ctx, envs...)
	d := w.held[rich.ID]
	if !bytes.Equal(d.Envelope.Body, body) || d.Envelope.Key != rich.Key || d.Envelope.Group != rich.Group || d.Envelope.Expires != time.Hour ||
		d.Envelope.Version != 7 || d.Envelope.MaxRetries == nil || *d.Envelope.MaxRetries != 3 {
		w.Errorf("received %+v", d.Envelope)
	}
	if diff := cmp.Diff(rich.Headers, d.Envelope.Headers); diff != "" {
		w.Error(diff)
	}
	if diff := cmp.Diff(rich.Tags, d.Envelope.Tags); diff != "" {
		w.Error(diff)
	}
	if age := time.Since(d.Envelope.CreatedAt); age < -time.Minute || age > time.Minute {
		w.Errorf("created %v ago", age)
	}
	if at := w.held[later.ID]; at.ClaimedAt.Before(later.At.Truncate(time.Millisecond)) {
		w.Error("claimed before it was due", at.ClaimedAt, later.At)
	}
	r, err := w.store.Find(ctx, rich.ID)
	if err != nil || r.Status != monitor.Processing || !bytes.Equal(r.Body, body) || r.LockedBy == "" {
		w.Errorf("Find: %+v, %v", r, err)
	}
}

// inTx sends and completes in transactions of the caller's.
func (w *pathWalk) inTx(ctx context.Context) {
	plain := []*symphony.Envelope{w.env("tx plain"), w.env("tx delayed", func(e *symphony.Envelope) { e.Delay = 10 * time.Millisecond; e.Tags = []string{"x"} })}
	special := []*symphony.Envelope{w.env("tx key", withKey("tx", time.Hour)), w.env("tx group", inGroup("tx")), w.env("tx group", inGroup("tx"))}
	gone := []*symphony.Envelope{w.env("tx gone"), w.env("tx gone key", withKey("gone", 0))}
	for _, c := range []struct {
		name   string
		envs   []*symphony.Envelope
		commit bool
	}{{"plain", plain, true}, {"special", special, true}, {"rolled back", gone, false}} {
		tx, err := w.store.Pool().Begin(ctx)
		if err != nil {
			w.Fatal(err)
		}
		_, err = txSender{w.store, inTx(tx)}.Send(ctx, c.envs)
		if err != nil {
			w.Errorf("InTx, %s: %v", c.name, err)
			_ = tx.Rollback(ctx)
			continue
		}
		if !c.commit {
			_ = tx.Rollback(ctx)
		} else if err := tx.Commit(ctx); err != nil {
			w.Error("commit:", err)
		}
		for i, e := range c.envs {
			r, err := w.store.Find(ctx, e.ID)
			if c.commit && err != nil || !c.commit && !errors.Is(err, monitor.ErrNotFound) {
				w.Errorf("InTx, %s: message %d: %v: found %q, %v", c.name, i, e.Type, r.Status, err)
			}
			if late := r.AvailableAt.Sub(r.CreatedAt); c.commit && err == nil && late > time.Minute {
				w.Errorf("InTx, %s: message %d is due %v after it was sent", c.name, i, late)
			}
		}
	}
	for _, e := range append(plain, special[0], special[1]) {
		if r, err := w.store.Find(ctx, e.ID); err == nil && r.AvailableAt.Sub(r.CreatedAt) < time.Minute {
			w.take(ctx, e)
		}
	}
	for _, e := range []*symphony.Envelope{plain[0], special[0], special[1]} {
		d, ok := w.held[e.ID]
		if !ok {
			continue // reported above
		}
		tx, err := w.store.Pool().Begin(ctx)
		if err != nil {
			w.Fatal(err)
		}
		refused, err := w.store.settle(ctx, inTx(tx), []symphony.Verdict{{Token: d.Token, Outcome: symphony.Completed}})
		if refused != nil || err != nil {
			w.Errorf("completing %s in a transaction: %v, %v", e.Type, refused, err)
			_ = tx.Rollback(ctx)
			continue
		}
		if err := tx.Commit(ctx); err != nil {
			w.Error("commit:", err)
		}
		if r, err := w.store.Find(ctx, e.ID); err != nil || r.Status != monitor.Completed {
			w.Errorf("%s, completed in a transaction: %s, %v", e.Type, r.Status, err)
		}
	}
	id, err := w.store.Pool().Query(ctx, "select id::text, duplicate from symphony.dispatch('from_sql', '{\"a\": 1}', queue => '"+w.queue+"', idempotency_key => 'sql"+w.queue+"', tags => '{x}')")
	if err != nil {
		w.Error("dispatch in SQL:", err)
		return
	}
	for id.Next() {
		var text string
		var duplicate bool
		if err := id.Scan(&text, &duplicate); err != nil || duplicate {
			w.Error("dispatch in SQL:", text, duplicate, err)
		}
	}
	if id.Err() != nil {
		w.Error("dispatch in SQL:", id.Err())
	}
}

// settles gives each outcome, and looks at what became of it.
func (w *pathWalk) settles(ctx context.Context) {
	failure := &symphony.Failure{Error: `broken: '"\ ${} ` + "\u00fc", Class: "some.Error", Trace: "a\nb"}
	cases := []struct {
		v    symphony.Verdict
		want monitor.Status
	}{
		{symphony.Verdict{Outcome: symphony.Completed}, monitor.Completed},
		{symphony.Verdict{Outcome: symphony.Retried, After: time.Hour, Failure: failure}, monitor.Scheduled},
		{symphony.Verdict{Outcome: symphony.Snoozed, After: time.Hour}, monitor.Scheduled},
		{symphony.Verdict{Outcome: symphony.Released}, monitor.Pending},
		{symphony.Verdict{Outcome: symphony.Unhandled, After: time.Hour}, monitor.Scheduled},
		{symphony.Verdict{Outcome: symphony.Failed, Reason: symphony.ReasonPermanent, Failure: failure}, monitor.Failed},
		{symphony.Verdict{Outcome: symphony.Cancelled, Failure: failure}, monitor.Cancelled},
		{symphony.Verdict{Outcome: symphony.Expired}, monitor.Expired},
	}
	for _, special := range []bool{false, true} {
		var envs []*symphony.Envelope
		for i, c := range cases {
			env := w.env("settled_" + string(c.v.Outcome))
			if special {
				env.Key, env.Window = fmt.Sprint("settle", i, w.queue), time.Hour
			}
			envs = append(envs, env)
		}
		if _, err := w.store.Send(ctx, envs); err != nil {
			w.Fatal("send:", err)
		}
		w.take(ctx, envs...)
		var held []symphony.Token
		var verdicts []symphony.Verdict
		for i, c := range cases {
			c.v.Token = w.held[envs[i].ID].Token
			verdicts = append(verdicts, c.v)
			held = append(held, c.v.Token)
		}
		if r, err := w.store.Renew(ctx, "w"+w.queue, held); err != nil || len(r.Lost) > 0 {
			w.Errorf("Renew: %+v, %v", r, err)
		}
		if err := w.store.Settle(ctx, verdicts); err != nil {
			w.Fatal("Settle:", err)
		}
		for i, c := range cases {
			r, err := w.store.Find(ctx, envs[i].ID)
			if err != nil || r.Status != c.want || c.v.Failure != nil && r.LastError != failure.Error {
				w.Errorf("%s, special %v: %s %q, %v", c.v.Outcome, special, r.Status, r.LastError, err)
			}
		}
		if err := w.store.Settle(ctx, verdicts); !errors.Is(err, symphony.ErrLeaseLost) {
			w.Errorf("a second Settle: %v", err)
		}
	}
}

func (w *pathWalk) repairs(ctx context.Context) {
	waits, runs := w.env("cancelled"), w.env("cancelled running")
	if _, err := w.store.Send(ctx, []*symphony.Envelope{runs}); err != nil {
		w.Fatal(err)
	}
	w.take(ctx, runs)
	waits.Delay = time.Hour
	if _, err := w.store.Send(ctx, []*symphony.Envelope{waits}); err != nil {
		w.Fatal(err)
	}
	if r, err := w.store.Cancel(ctx, waits.ID); err != nil || r.Status != monitor.Cancelled {
		w.Errorf("Cancel: %s, %v", r.Status, err)
	}
	if r, err := w.store.Cancel(ctx, runs.ID); err != nil || r.Status != monitor.Processing {
		w.Errorf("Cancel: %s, %v", r.Status, err)
	}
	token := w.held[runs.ID].Token
	if r, err := w.store.Renew(ctx, "w"+w.queue, []symphony.Token{token}); err != nil || !slices.Contains(r.Cancelled, token) {
		w.Errorf("Renew: %+v, %v: want it as cancelled", r, err)
	}
	page, err := w.store.Failed(ctx, monitor.Filter{Queue: w.queue, Type: "settled_failed"})
	failed := page.Records
	if err != nil || len(failed) != 2 {
		w.Fatalf("Failed: %d, %v", len(failed), err)
	}
	if f := failed[0]; f.Reason != symphony.ReasonPermanent || len(f.Attempts) != 1 || f.ErrorClass != "some.Error" || f.Fingerprint == "" {
		w.Errorf("Failed: %+v", f)
	}
	filter := monitor.Filter{Queue: w.queue, Since: failed[1].FinishedAt, Until: failed[0].FinishedAt.Add(time.Microsecond), Limit: 1}
	if page, err = w.store.Failed(ctx, filter); err == nil {
		filter.Cursor = page.Cursor
		page, err = w.store.Failed(ctx, filter)
	}
	if since := page.Records; err != nil || len(since) != 1 || since[0].ID != failed[1].ID {
		w.Errorf("Failed, filtered: %+v, %v", since, err)
	}
	for what, call := range map[string]func() ([]error, error){
		"RetryFailed":   func() ([]error, error) { return w.store.RetryFailed(ctx, []symphony.ID{failed[0].ID, waits.ID}) },
		"DiscardFailed": func() ([]error, error) { return w.store.DiscardFailed(ctx, []symphony.ID{failed[1].ID, waits.ID}) },
	} {
		answers, err := call()
		if err != nil || answers[0] != nil || !errors.Is(answers[1], monitor.ErrNotFound) {
			w.Errorf("%s: %v, %v", what, answers, err)
		}
	}
}
