package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

// unmigrated returns a transport whose schema is as it was before Open.
func unmigrated(t testing.TB, dsn string) *Transport {
	t.Helper()
	store, err := Open(t.Context(), dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// adminConn is a connection of the user's to the database of a DSN that may have options of ours.
func adminConn(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	c, err := parseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), c.conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func mustExec(t testing.TB, conn interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, text string, args ...any,
) {
	t.Helper()
	if len(args) == 0 {
		args = []any{pgx.QueryExecModeSimpleProtocol}
	}
	rows, err := conn.Query(t.Context(), text, args...)
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// everyUse calls everything that needs the schema.
func everyUse(t *testing.T, store *Transport) map[string]error {
	ctx := t.Context()
	env := &symphony.Envelope{ID: symphony.NewID(), Type: "a", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte(`{}`)}
	keyed := *env
	keyed.ID, keyed.Key = symphony.NewID(), "k"
	token := leaseName{id: symphony.NewID(), token: 1}.written()
	ids := []symphony.ID{symphony.NewID()}
	all := make(map[string]error)
	_, all["Send"] = store.Send(ctx, []*symphony.Envelope{env})
	_, all["Send with a key"] = store.Send(ctx, []*symphony.Envelope{&keyed})
	_, all["Send of two"] = store.Send(ctx, []*symphony.Envelope{env, &keyed})
	_, all["Receive"] = store.Receive(ctx, symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 1, Lease: time.Minute})
	all["Settle"] = store.Settle(ctx, []symphony.Verdict{{Token: token, Outcome: symphony.Completed}})
	_, all["Renew"] = store.Renew(ctx, "w", []symphony.Token{token})
	_, all["Find"] = store.Find(ctx, ids[0])
	_, all["Counts"] = store.Counts(ctx)
	_, all["Failed"] = store.Failed(ctx, monitor.Filter{})
	_, all["RetryFailed"] = store.RetryFailed(ctx, ids)
	_, all["DiscardFailed"] = store.DiscardFailed(ctx, ids)
	_, all["Cancel"] = store.Cancel(ctx, ids[0])
	_, all["Maintain"] = store.Maintain(ctx)
	all["Subscribe"] = store.Subscribe(ctx, []symphony.Subscription{{Type: "a"}})
	bus := &symphony.Bus{Transport: store}
	all["Tx"] = store.Tx(ctx, bus, func(_ pgx.Tx, d symphony.Dispatcher) error {
		_, err := d.Dispatch(ctx, symphony.Raw{Type: "a", Body: []byte(`{}`)})
		return err
	})
	return all
}

func TestNotMigrated(t *testing.T) {
	store := unmigrated(t, pgtest.Database(t))
	refused := func(state string) {
		t.Helper()
		for use, err := range everyUse(t, store) {
			if !errors.Is(err, symphony.ErrNotMigrated) || !strings.Contains(err.Error(), store.config.where()) {
				t.Errorf("%s: %s: %v; want ErrNotMigrated with the name of the store", state, use, err)
			}
		}
	}
	refused("no schema")
	pending, err := store.Migrations(t.Context())
	if err != nil || len(pending) == 0 {
		t.Fatal(pending, err)
	}
	for i, m := range pending {
		if m.Version != i+1 || !m.Applied.IsZero() || m.SQL == "" || m.Name == "" {
			t.Errorf("pending migration %d: %d %q applied at %v, %d bytes", i+1, m.Version, m.Name, m.Applied, len(m.SQL))
		}
	}
	conn := adminConn(t, store.config.conn.ConnString())
	mustExec(t, conn, "create schema symphony")
	refused("an empty schema")
	mustExec(t, conn, "drop schema symphony cascade")
	mustExec(t, conn, pending[0].SQL)
	refused("the first step")
	half, err := store.Migrations(t.Context())
	if err != nil || half[0].Applied.IsZero() || !half[1].Applied.IsZero() {
		t.Fatal(half[0].Applied, half[1].Applied, err)
	}
	applied, err := store.Migrate(t.Context())
	if err != nil || len(applied) != len(pending)-1 || applied[0].Version != 2 || time.Since(applied[0].Applied).Abs() > time.Minute {
		t.Fatalf("%d steps of %d: %v", len(applied), len(pending), err)
	}
	for use, err := range everyUse(t, store) {
		if errors.Is(err, symphony.ErrNotMigrated) {
			t.Errorf("migrated: %s: %v", use, err)
		}
	}
	if applied, err := store.Migrate(t.Context()); err != nil || len(applied) != 0 {
		t.Fatal("a second Migrate did something:", applied, err)
	}
	done, err := store.Migrations(t.Context())
	if err != nil || slices.ContainsFunc(done, func(m monitor.Migration) bool { return m.Applied.IsZero() || m.SQL == "" }) {
		t.Fatal(done, err)
	}
}

func TestSchemaVersions(t *testing.T) {
	d, err := newDialect(defaultSchema)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := d.steps()
	if err != nil {
		t.Fatal(err)
	}
	next := len(steps) + 1
	for _, c := range []struct {
		name            string
		version, oldest int
		refused         bool
	}{
		{"a newer schema that this program can use", 99, oldestCompatible, false},
		{"a newer schema that it cannot use", 99, 99, true},
		{"the next version that it cannot use", next, next, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn := pgtest.DSN(t)
			store := openDSN(t, dsn, nil)
			mustExec(t, store.work, store.sql.in("insert into symphony.messenger_migrations values ($1, 'later', now(), $2)"), c.version, c.oldest)
			again := unmigrated(t, dsn)
			uses := everyUse(t, again)
			_, uses["Migrate"] = again.Migrate(t.Context())
			for use, err := range uses {
				if errors.Is(err, symphony.ErrSchemaTooNew) != c.refused {
					t.Errorf("%s: refused %v, want %v: %v", use, !c.refused, c.refused, err)
				}
			}
			list, err := again.Migrations(t.Context())
			if err != nil || len(list) != len(steps)+1 || list[0].Applied.IsZero() {
				t.Fatalf("the list of steps is %+v, %v", list, err)
			}
			if last := list[len(steps)]; last.Version != c.version || last.Name != "later" || last.Applied.IsZero() || last.SQL != "" {
				t.Errorf("the step of the later release is listed as %+v", last)
			}
		})
	}
}

// TestScriptsByHand applies the scripts with the tools and the settings of somebody else, into an empty database.
func TestScriptsByHand(t *testing.T) {
	for _, schema := range []string{"symphony", "order"} {
		t.Run(schema, func(t *testing.T) {
			want := openDSN(t, withOptions(pgtest.Database(t), "schema="+schema), nil)
			store := unmigrated(t, withOptions(pgtest.Database(t), "schema="+schema))
			steps, err := store.Migrations(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			conn := adminConn(t, store.config.conn.ConnString())
			mustExec(t, conn, "set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kolkata'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'")
			for _, m := range steps {
				mustExec(t, conn, m.SQL)
			}
			for use, err := range everyUse(t, store) {
				if err != nil && !errors.Is(err, monitor.ErrNotFound) && !errors.Is(err, symphony.ErrLeaseLost) {
					t.Errorf("%s: %v", use, err)
				}
			}
			if applied, err := store.Migrate(t.Context()); err != nil || len(applied) != 0 {
				t.Error("Migrate found something to do:", applied, err)
			}
			one, other := adminConn(t, want.config.conn.ConnString()), adminConn(t, store.config.conn.ConnString())
			if diff := cmp.Diff(catalog(t, one, schema), catalog(t, other, schema)); diff != "" {
				t.Error("the schemas differ (- Migrate, + by hand):", diff)
			}
		})
	}
}

// TestScriptsInASchemaOfSomebodyElse: its owner has made the schema, and who applies the scripts may not make any.
func TestScriptsInASchemaOfSomebodyElse(t *testing.T) {
	dsn, restricted := guest(t)
	store := unmigrated(t, restricted)
	steps, err := store.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := adminConn(t, dsn)
	mustExec(t, conn, "set role "+store.config.conn.User)
	for _, m := range steps {
		if _, err := conn.Exec(t.Context(), m.SQL, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("step %d: %v", m.Version, err)
		}
	}
}

// guest returns a database with an empty schema symphony that is an administrator's, and the DSNs of that and of a user who may use and fill
// it, and nothing else.
func guest(t *testing.T) (dsn, restricted string) {
	t.Helper()
	dsn = pgtest.Database(t)
	conn := adminConn(t, dsn)
	role := "guest_" + strings.TrimPrefix(strings.ToLower(conn.Config().Database), "t_")
	mustExec(t, conn, fmt.Sprintf("create role %[1]s login password 'guest'; create schema symphony; grant usage, create on schema symphony to %[1]s", role))
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "drop schema symphony cascade; drop role "+role, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "guest")
	return dsn, u.String()
}

func TestSchemaOfSomebodyElse(t *testing.T) {
	_, restricted := guest(t)
	store := openDSN(t, restricted, nil)
	for use, err := range everyUse(t, store) {
		if err != nil && !errors.Is(err, monitor.ErrNotFound) && !errors.Is(err, symphony.ErrLeaseLost) {
			t.Errorf("%s: %v", use, err)
		}
	}
	if err := store.Close(); err != nil { // before its role is dropped
		t.Error(err)
	}
}

// TestTwoSchemas: two applications share a database and nothing else.
func TestTwoSchemas(t *testing.T) {
	dsn := pgtest.Database(t)
	a, b := openDSN(t, withOptions(dsn, "schema=tenant_a"), nil), openDSN(t, withOptions(dsn, "schema=tenant_b"), nil)
	admin := adminConn(t, dsn)
	if diff := cmp.Diff(catalog(t, admin, "tenant_a"), catalog(t, admin, "tenant_b")); diff != "" {
		t.Error("the schemas differ:", diff)
	}
	env := &symphony.Envelope{ID: symphony.NewID(), Type: "x", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte(`{}`), Key: "k", Window: time.Hour, Group: "g"}
	if err := a.Subscribe(t.Context(), []symphony.Subscription{{Type: "x"}, {Type: "x", Subscriber: "audit"}}); err != nil {
		t.Fatal(err)
	}
	for _, store := range []*Transport{a, b} { // the same id and key
		rs, err := store.Send(t.Context(), []*symphony.Envelope{env})
		if err != nil || rs[0].Duplicate || len(rs[0].Copies) != map[*Transport]int{a: 1, b: 0}[store] {
			t.Fatal(rs, err)
		}
	}
	listening(t, a)
	listener := adminConn(t, dsn)
	mustExec(t, listener, `listen "tenant_b.wake"`)
	mustExec(t, listener, `listen """tenant_b"".wake"`)
	heard := hearWake(a)
	mustExec(t, admin, "select tenant_a.wake('of a')")
	mustExec(t, admin, "select tenant_b.wake('of b')")
	heard(t)
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	n, err := listener.WaitForNotification(ctx)
	for err == nil && n.Payload == env.Queue { // b tells of its message when it comes to it
		n, err = listener.WaitForNotification(ctx)
	}
	if err != nil || n.Payload != "of b" {
		t.Errorf("whoever listens to one schema hears %+v, %v", n, err)
	}
	ds, err := a.Receive(t.Context(), symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 5, Lease: time.Minute})
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	if err := a.Settle(t.Context(), []symphony.Verdict{{Token: ds[0].Token, Outcome: symphony.Completed}}); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Find(t.Context(), env.ID); err != nil || r.Status != monitor.Pending {
		t.Fatal(r.Status, err)
	}
	mustExec(t, admin, "drop schema tenant_a cascade")
	if r, err := b.Cancel(t.Context(), env.ID); err != nil || r.Status != monitor.Cancelled {
		t.Fatal(r.Status, err)
	}
	if _, err := b.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSchemaNamedLikeAnAlias: the statements use short names of their own, which a schema may have too.
func TestSchemaNamedLikeAnAlias(t *testing.T) {
	dsn := pgtest.Database(t)
	for _, schema := range []string{"m", "k", "d", "new", "_row"} {
		store := openDSN(t, withOptions(dsn, "schema="+schema), nil)
		for use, err := range everyUse(t, store) {
			if err != nil && !errors.Is(err, monitor.ErrNotFound) && !errors.Is(err, symphony.ErrLeaseLost) {
				t.Errorf("schema %s: %s: %v", schema, use, err)
			}
		}
		mustExec(t, store.work, store.sql.in("select symphony.dispatch('a', '{}', idempotency_key => 'z', group_key => 'g', wake => true)"))
	}
}

// TestEverythingHasAComment: whoever meets the schema with psql alone learns what each thing is for.
func TestEverythingHasAComment(t *testing.T) {
	store := openTest(t, nil)
	rows, err := store.work.Query(t.Context(), `
with ours as (select oid from pg_namespace where nspname = $1)
select what from (
  select format('relation %s (%s)', oid::regclass, relkind) as what, obj_description(oid, 'pg_class') as comment from pg_class c
  where relnamespace in (select * from ours) and relkind not in ('S', 'c') and relname !~ '^messenger_history_(\d|default_)'
    and not exists (select from pg_constraint k where k.conindid = c.oid) -- the index of a key is not there for its own sake
  union all select format('function %s', oid::regprocedure), obj_description(oid, 'pg_proc') from pg_proc where pronamespace in (select * from ours)
  union all select format('type %s', oid::regtype), obj_description(oid, 'pg_type') from pg_type where typnamespace in (select * from ours) and typtype in ('e', 'd')
  union all select format('trigger %s', g.tgname), obj_description(g.oid, 'pg_trigger') from pg_trigger g join pg_class c on c.oid = g.tgrelid
    where c.relnamespace in (select * from ours) and not g.tgisinternal) all_of_them
where comment is null or comment = ''`, store.config.schema)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range bare {
		t.Errorf("%s has no comment", what)
	}
}
