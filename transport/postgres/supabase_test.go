package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// exported returns the migration for the Supabase command line that is in the repository.
func exported(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("../../supabase/migrations/*_symphony.sql")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSupabaseExport: the file is what the command prints now.
func TestSupabaseExport(t *testing.T) {
	store := unmigrated(t, "postgres:///postgres")
	now, err := store.SupabaseSQL(0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exported(t), now); diff != "" {
		t.Errorf("run go generate ./transport/postgres: %.2000s", diff)
	}
}

// likeSupabase makes a database as those of Supabase are: its user is no superuser, and everything new is open to the roles of the data API.
func likeSupabase(t *testing.T) (c *cast, user string) {
	t.Helper()
	admin := adminOf(t)
	user = "r" + strings.ReplaceAll(symphony.NewID().String(), "-", "")
	ctx := context.WithoutCancel(t.Context())
	mustExec(t, admin, "create role "+user+" login createrole bypassrls")
	t.Cleanup(func() { // after the database is gone
		if _, err := admin.Exec(ctx, "drop role "+user); err != nil {
			t.Error(err)
		}
		_ = admin.Close(ctx)
	})
	dsn := pgtest.Database(t)
	c = &cast{dsn: dsn, admin: adminConn(t, dsn), schema: defaultSchema}
	c.dropRoles(t)
	for _, role := range []string{"anon", "authenticated", "service_role"} {
		mustExec(t, c.admin, fmt.Sprintf("do $$ begin create role %s nologin; exception when duplicate_object or unique_violation then null; end $$", role))
	}
	mustExec(t, c.admin, fmt.Sprintf("grant create on database %[1]s to %[2]s; grant usage, create on schema public to %[2]s; grant usage on schema public to public", c.admin.Config().Database, user))
	mustExec(t, adminConn(t, asUser(t, dsn, user)), `alter default privileges grant all on tables to anon, authenticated, service_role;
alter default privileges grant all on functions to anon, authenticated, service_role; alter default privileges grant all on sequences to anon, authenticated, service_role`)
	return c, user
}

// TestSupabase applies that file as the Supabase command line does, in one transaction, and does what docs/postgresql.md shows.
func TestSupabase(t *testing.T) {
	c, user := likeSupabase(t)
	conn := adminConn(t, asUser(t, c.dsn, user))
	mustExec(t, conn, exported(t))
	c.owner = unmigrated(t, asUser(t, c.dsn, user))
	if applied, err := c.owner.Migrate(t.Context()); err != nil || len(applied) > 0 {
		t.Errorf("Migrate found something to do: %v, %v", applied, err)
	}
	sendOne(t, c.owner, nil)
	sendOne(t, c.open(t, "worker"), nil)
	mustExec(t, conn, "grant symphony_enqueue to service_role")
	if err := c.run(t, "service_role", "select symphony.dispatch('a')"); err != nil {
		t.Errorf("service_role, which may send: %v", err)
	}
	mustExec(t, conn, `create function public.request_report(report_id integer) returns uuid language sql security definer set search_path = '' as $$
  select id from symphony.dispatch('report.make', json_build_object('id', report_id), idempotency_key => 'report:' || report_id)
$$;
revoke execute on function public.request_report from public, anon; grant execute on function public.request_report to authenticated;
create table public.email_queue (id integer, address text); grant insert on public.email_queue to authenticated;
create trigger send after insert on public.email_queue for each row execute function symphony.dispatch_row('email.send', 'mail', 'id')`)
	for text, may := range map[string]bool{
		"select public.request_report(7)":                              true,
		"insert into public.email_queue values (1, 'ada@example.org')": true,
		"select symphony.dispatch('a')":                                false,
		"select symphony.wake()":                                       false,
		"select * from symphony.messenger_queue_depth":                 false,
		"listen x; select count(*) from symphony.messenger_messages":   false,
		"create trigger x after insert on public.email_queue for each row execute function symphony.dispatch_row('a')": false,
	} {
		if err := c.run(t, "authenticated", text); (err == nil) != may || !may && !denied(err) {
			t.Errorf("authenticated: %s: %v; want it allowed: %t", text, err, may)
		}
	}
	if err := c.run(t, "anon", "select public.request_report(7)"); !denied(err) {
		t.Errorf("anon: %v", err)
	}
	if n := one(t, c.owner, c.admin, "select sum(pending)::text from symphony.messenger_queue_depth"); n != "5" {
		t.Errorf("%s messages of 5", n)
	}
	mustExec(t, conn, "grant usage on schema symphony to anon, authenticated")
	for _, who := range []string{"anon", "authenticated"} {
		for _, what := range openTo(t, c, who) {
			t.Errorf("%s: open: %s", who, what)
		}
	}
}

// TestSupabaseUpgrade: what has come since is one more migration.
func TestSupabaseUpgrade(t *testing.T) {
	c, user := likeSupabase(t)
	store := unmigrated(t, asUser(t, c.dsn, user))
	steps, err := store.sql.steps()
	if err != nil {
		t.Fatal(err)
	}
	conn := adminConn(t, asUser(t, c.dsn, user))
	const had = 2
	for _, m := range steps[:had] {
		mustExec(t, conn, store.sql.script(m, false))
	}
	rest, err := store.SupabaseSQL(had)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, rest)
	if applied, err := store.Migrate(t.Context()); err != nil || len(applied) > 0 {
		t.Errorf("Migrate found something to do: %v, %v", applied, err)
	}
	c.owner = store
	sendOne(t, c.open(t, "worker"), nil)
	for _, after := range []int{-1, len(steps), len(steps) + 1} {
		if _, err := store.SupabaseSQL(after); err == nil {
			t.Errorf("the steps after version %d: no error", after)
		}
	}
}
