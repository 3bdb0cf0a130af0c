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
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

// A cast is a migrated schema with its roles.
type cast struct {
	dsn    string
	owner  *Transport // as a superuser
	admin  *pgx.Conn  // likewise
	schema string
	logins int
}

var allRoles = []string{"owner", "worker", "enqueue", "reader", "admin"}

func withRoles(tb testing.TB, dsn string) *cast {
	tb.Helper()
	c := &cast{dsn: dsn}
	c.dropRoles(tb)
	c.owner = openDSN(tb, dsn, nil)
	c.admin, c.schema = adminConn(tb, dsn), c.owner.config.schema
	mustExec(tb, c.admin, c.owner.sql.roles())
	return c
}

// dropRoles drops, at the end of the test, the roles of a schema and all that is theirs in its database.
func (c *cast) dropRoles(tb testing.TB) {
	ctx := context.WithoutCancel(tb.Context())
	tb.Cleanup(func() {
		config, err := parseDSN(c.dsn)
		if err != nil {
			tb.Fatal(err)
		}
		conn, err := pgx.ConnectConfig(ctx, config.conn)
		if err != nil {
			tb.Fatal(err)
		}
		defer conn.Close(ctx)
		names := make([]string, c.logins)
		for i := range names {
			names[i] = fmt.Sprint(config.schema, "_login", i+1)
		}
		for _, name := range append(names, allRoles...) {
			if !strings.Contains(name, "_login") {
				name = config.schema + "_" + name
			}
			text := fmt.Sprintf("do $$ begin if to_regrole('%[1]s') is not null then drop owned by %[1]s cascade; drop role %[1]s; end if; end $$", name)
			if _, err := conn.Exec(ctx, text); err != nil {
				tb.Errorf("drop role %s: %v", name, err)
			}
		}
	})
}

// login makes a user with a role.
func (c *cast) login(tb testing.TB, role string) string {
	tb.Helper()
	c.logins++
	name := fmt.Sprint(c.schema, "_login", c.logins)
	mustExec(tb, c.admin, fmt.Sprintf("create role %s login in role %s_%s", name, c.schema, role))
	return name
}

// as opens a connection as a new user with a role.
func (c *cast) as(tb testing.TB, role string) *pgx.Conn {
	tb.Helper()
	return adminConn(tb, asUser(tb, c.dsn, c.login(tb, role)))
}

// open returns a transport as a new user with a role.
func (c *cast) open(t *testing.T, role string) *Transport {
	t.Helper()
	return unmigrated(t, asUser(t, c.dsn, c.login(t, role)))
}

// TestConformanceRoles is the suite as a user who owns nothing, whose rights are those of grants and policies: a worker from PostgreSQL 17
// on. Before, a worker is a member of the owner, and the administrator is whose rights are such.
func TestConformanceRoles(t *testing.T) {
	role := ordinary(t)
	transporttest.Run(t, func(tb testing.TB) transporttest.Store {
		c := withRoles(tb, pgtest.DSN(tb))
		return storeAt(tb, asUser(tb, c.dsn, c.login(tb, role)), c.owner)
	})
}

// ordinary is the role of those who work and own nothing.
func ordinary(t *testing.T) (role string) {
	t.Helper()
	admin := adminOf(t)
	defer admin.Close(context.WithoutCancel(t.Context()))
	if err := admin.QueryRow(t.Context(), "select case when current_setting('server_version_num')::int < 170000 then 'admin' else 'worker' end").Scan(&role); err != nil {
		t.Fatal(err)
	}
	return role
}

// TestWorker takes every path as a worker.
func TestWorker(t *testing.T) {
	c := withRoles(t, pgtest.Database(t)) // in the schema that wholePath names
	wholePath(t, c.open(t, "worker"))
}

func denied(err error) bool { return codeOf(err) == "42501" }

// TestReader: a reader sees what there is by the views and by our own means, and changes nothing.
func TestReader(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	env := sendOne(t, c.owner, nil)
	reader := c.open(t, "reader")
	if r, err := reader.Find(t.Context(), env.ID); err != nil || r.Status != monitor.Pending {
		t.Errorf("Find: %s, %v", r.Status, err)
	}
	if n, err := reader.Counts(t.Context()); err != nil || len(n.Counts) != 1 {
		t.Errorf("Counts: %v, %v", n, err)
	}
	if _, err := reader.Failed(t.Context(), monitor.Filter{}); err != nil {
		t.Errorf("Failed: %v", err)
	}
	conn := reader.Pool()
	for _, view := range c.list(t, "select oid::regclass::text from pg_class where relnamespace = $1::regnamespace and relkind = 'v'") {
		if _, err := conn.Exec(t.Context(), "select * from "+view); err != nil {
			t.Errorf("view %s: %v", view, err)
		}
	}
	if got := one(t, reader, conn, "select (body_json ->> 'Amount') || status from symphony.messenger_overview"); got != "7pending" {
		t.Errorf("messenger_overview shows %q", got)
	}
	looks := map[string]bool{"Find": true, "Counts": true, "Failed": true}
	for use, err := range everyUse(t, c.open(t, "reader")) {
		if !looks[use] && !denied(err) {
			t.Errorf("a reader may %s: %v", use, err)
		}
	}
	for _, text := range []string{
		"select symphony.dispatch('a')", "select symphony.cancel(gen_random_uuid())", "select * from symphony.messenger_transports",
		"update symphony.messenger_messages set priority = 1", "delete from symphony.messenger_history", "truncate symphony.messenger_messages",
		"select symphony.messenger_end('{}', 'cancelled', 'full', '')", "create table symphony.x ()",
	} {
		if _, err := conn.Exec(t.Context(), c.owner.sql.in(text)); !denied(err) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// list returns the names that a query about the schema $1 answers.
func (c *cast) list(t *testing.T, text string, args ...any) []string {
	t.Helper()
	rows, err := c.admin.Query(t.Context(), text, append([]any{c.schema}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEnqueueOnly: who may only send calls four functions. What they do with tables is not for him: no id, state or token is of his choice.
// TestGoAndSQLAgree sends everything that way.
func TestEnqueueOnly(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	conn := c.as(t, "enqueue")
	for _, text := range []string{
		"select symphony.dispatch('a', '{}', idempotency_key => 'k', group_key => 'g', wake => true)", "select symphony.dispatch_bytes('a', '\\x00')",
		"select symphony.wake('default')",
	} {
		mustExec(t, conn, c.owner.sql.in(text))
	}
	if ds := lease(t, c.owner, "w", 5); len(ds) != 2 {
		t.Errorf("%d of 2 messages came", len(ds))
	}
	allowed := c.list(t, "select oid::regprocedure::text from pg_proc where pronamespace = $1::regnamespace and has_function_privilege($2, oid, 'execute') order by proname",
		c.schema+"_enqueue")
	var names []string
	for _, f := range allowed {
		name, _, _ := strings.Cut(strings.TrimPrefix(f, c.schema+"."), "(")
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"dispatch", "dispatch_bytes", "dispatch_row", "wake"}, names); diff != "" {
		t.Error("functions that one may call who may only send:", diff)
	}
	sender := c.open(t, "enqueue")
	for use, err := range everyUse(t, sender) {
		if !denied(err) {
			t.Errorf("one who may only send may %s: %v", use, err)
		}
	}
}

// TestAdmin repairs in psql and by our own means, and changes no object.
func TestAdmin(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	store := c.open(t, "admin")
	for use, err := range everyUse(t, store) {
		if err != nil && !errors.Is(err, monitor.ErrNotFound) && !errors.Is(err, symphony.ErrLeaseLost) {
			t.Errorf("%s: %v", use, err)
		}
	}
	env := sendOne(t, store, func(e *symphony.Envelope) { e.Delay = time.Hour })
	mustExec(t, store.Pool(), store.sql.in("update symphony.messenger_messages set priority = 9"))
	mustExec(t, store.Pool(), store.sql.in("update symphony.messenger_state set number = 1000 where name = 'max_body'"))
	mustExec(t, store.Pool(), store.sql.in("insert into symphony.messenger_transports (name, type) values ('a', 'b')"))
	if got := one(t, store, store.Pool(), "select symphony.cancel($1)", env.ID.String()); got != "cancelled" {
		t.Errorf("cancel answers %q", got)
	}
	for _, text := range []string{
		"alter table symphony.messenger_messages disable row level security", "drop function symphony.wake(text)", "create table symphony.x ()",
		"update symphony.messenger_migrations set version = 1", "truncate symphony.messenger_messages",
	} {
		if _, err := store.Pool().Exec(t.Context(), store.sql.in(text)); !denied(err) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestWorkerMayVacuum: as a member of the owner, or with MAINTAIN where there is that.
func TestWorkerMayVacuum(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	store := c.open(t, "worker")
	if err := store.vacuum(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, table := range hot {
		eventually(t, table+" was vacuumed", func() bool { // before PostgreSQL 15 that is known later
			return one(t, store, c.admin, "select (last_vacuum is not null)::text from pg_stat_all_tables where relid = $1::regclass", store.sql.in("symphony."+table)) == "true"
		})
	}
}

// TestHidden: somebody who may use the tables, and has no role, would see none of the rows, and wait for messages for ever.
func TestHidden(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	user := c.login(t, "reader")
	mustExec(t, c.admin, fmt.Sprintf("revoke %[1]s_reader from %[2]s; grant usage on schema %[1]s to %[2]s; grant all on all tables in schema %[1]s to %[2]s; grant execute on all functions in schema %[1]s to %[2]s",
		c.schema, user))
	for use, err := range everyUse(t, unmigrated(t, asUser(t, c.dsn, user))) {
		if err == nil || !strings.Contains(err.Error(), "grant it the role "+c.schema+"_worker") {
			t.Errorf("%s: %v; want what to do", use, err)
		}
	}
	if _, err := c.open(t, "enqueue").Counts(t.Context()); !denied(err) || !strings.Contains(err.Error(), "needs a role") {
		t.Errorf("one who may not look is told %v", err)
	}
	mustExec(t, c.admin, fmt.Sprintf("grant %s_worker to %s", c.schema, user))
	sendOne(t, unmigrated(t, asUser(t, c.dsn, user)), nil)
}

// TestVacuumTakesItsTime: longer than the role's statements may.
func TestVacuumTakesItsTime(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	mustExec(t, c.admin, c.owner.sql.in(`insert into symphony.messenger_messages (id, created_at, available_at, status, queue_name, message_type, body)
select gen_random_uuid(), now(), now(), 'pending', 'q', 't', '' from generate_series(1, 60000); delete from symphony.messenger_messages`))
	user := c.login(t, "worker")
	mustExec(t, c.admin, "alter role "+user+" set statement_timeout = '10ms'")
	store := unmigrated(t, asUser(t, c.dsn, user))
	begun := time.Now()
	if err := store.vacuum(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 20*time.Millisecond {
		t.Fatalf("it took %v, the test tests nothing", took)
	}
	if got := one(t, store, store.upkeep, "show statement_timeout"); got != "10ms" {
		t.Errorf("afterwards statements may take %s", got)
	}
}
