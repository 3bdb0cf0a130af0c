package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// TestFunctionsArePinned: every function has a search path of its own, but for the clock, which is inlined and has only qualified names. Those
// that run with the rights of the owner are known, and the owner is nobody special.
func TestFunctionsArePinned(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	if loose := c.list(t, `select oid::regprocedure::text || ' ' || coalesce(proconfig::text, '') from pg_proc where pronamespace = $1::regnamespace and proname <> 'clock'
and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)`); len(loose) > 0 {
		t.Errorf("functions without a search path of their own: %v", loose)
	}
	if body := c.list(t, "select prosrc from pg_proc where pronamespace = $1::regnamespace and proname = 'clock'"); len(body) != 1 || body[0] != "select pg_catalog.clock_timestamp()" {
		t.Errorf("clock is %v", body)
	}
	definers := c.list(t, "select proname || ' ' || proowner::regrole from pg_proc where pronamespace = $1::regnamespace and prosecdef order by 1")
	owner := " " + c.schema + "_owner"
	if diff := cmp.Diff([]string{"dispatch_bytes" + owner, "dispatch_row" + owner, "messenger_partition" + owner}, definers); diff != "" {
		t.Error("functions with the rights of their owners:", diff)
	}
	if other := c.list(t, `select oid::regclass::text from pg_class where relnamespace = $1::regnamespace and relowner <> ($1::text || '_owner')::regrole
union all select oid::regprocedure::text from pg_proc where pronamespace = $1::regnamespace and proowner <> ($1::text || '_owner')::regrole
union all select oid::regtype::text from pg_type where typnamespace = $1::regnamespace and typowner <> ($1::text || '_owner')::regrole
union all select nspname from pg_namespace where oid = $1::regnamespace and nspowner <> ($1::text || '_owner')::regrole`); len(other) > 0 {
		t.Errorf("things of other owners: %v", other)
	}
	invoker := "security_invoker=on"
	if one(t, c.owner, c.admin, "show server_version_num") < "150000" {
		invoker = ""
	}
	for _, options := range c.list(t, "select coalesce(reloptions::text, '') from pg_class where relnamespace = $1::regnamespace and relkind = 'v'") {
		if strings.Trim(options, "{}") != invoker {
			t.Errorf("a view has the options %s", options)
		}
	}
}

// TestLookAlikes: an attacker who may send and has a schema of his own, first in his path, and functions, operators, types and casts in it
// that look like those that are meant. None of them runs with the rights of the owner.
func TestLookAlikes(t *testing.T) {
	dsn := pgtest.Database(t) + "&schema=looks"
	c := withRoles(t, dsn)
	user := c.login(t, "enqueue")
	for _, text := range evil {
		mustExec(t, c.admin, text)
	}
	mustExec(t, c.admin, fmt.Sprintf("grant create on schema evil to %[1]s; alter role %[1]s set search_path = evil, pg_catalog", user))
	conn := adminConn(t, asUser(t, dsn, user))
	for _, text := range []string{
		"create table evil.who (name text, how text); grant insert on evil.who to public",
		"create function evil.caught(text) returns text language plpgsql as $$ begin insert into evil.who values (current_user, $1); return $1; end $$",
		// A cast to JSON, and one to text, of each kind of type; and of the row.
		"create type evil.mood as enum ('glad', 'sad'); create type evil.pair as (a integer, e evil.mood); create domain evil.dom as evil.mood; create domain evil.text as pg_catalog.text",
		"create type evil.span as range (subtype = integer)",
		"create table evil.orders (id integer, m evil.mood, ms evil.mood[], p evil.pair, ps evil.pair[], d evil.dom, t evil.text, r evil.span, n numeric(9,2), js jsonb, ts pg_catalog.text[], gone integer, n2 evil.mood)",
		"alter table evil.orders drop column gone",
	} {
		mustExec(t, conn, text)
	}
	for _, typ := range []string{"mood", "pair", "span", "orders", "mood[]"} {
		name := strings.Trim(typ, "[]")
		mustExec(t, conn, fmt.Sprintf("create function evil.%[1]s_json(evil.%[2]s) returns json language plpgsql as $$ begin perform evil.caught('json of %[1]s'); return '{}'; end $$", name, typ))
		mustExec(t, conn, fmt.Sprintf("create function evil.%[1]s_jsonb(evil.%[2]s) returns jsonb language plpgsql as $$ begin perform evil.caught('jsonb of %[1]s'); return '{}'; end $$", name, typ))
		if name != typ || name == "pair" || name == "orders" {
			continue // casts of arrays and rows are for superusers, or never used
		}
		mustExec(t, conn, fmt.Sprintf("create cast (evil.%[1]s as json) with function evil.%[1]s_json(evil.%[1]s); create cast (evil.%[1]s as jsonb) with function evil.%[1]s_jsonb(evil.%[1]s)", name))
	}
	for _, text := range []string{
		"create cast (evil.pair as json) with function evil.pair_json(evil.pair)", "create cast (evil.orders as json) with function evil.orders_json(evil.orders)",
		"create cast (evil.orders as jsonb) with function evil.orders_jsonb(evil.orders)",
		"create function evil.mood_text(evil.mood) returns pg_catalog.text language plpgsql as $$ begin return evil.caught('text of mood'); end $$; create cast (evil.mood as pg_catalog.text) with function evil.mood_text(evil.mood)",
		// Those that the functions use, with the types that they use them with.
		"create function evil.convert_to(pg_catalog.text, pg_catalog.text) returns bytea language plpgsql as $$ begin perform evil.caught('convert_to'); return ''; end $$",
		"create function evil.row_to_json(evil.orders) returns json language plpgsql as $$ begin perform evil.caught('row_to_json'); return '{}'; end $$",
		"create function evil.concat(evil.mood) returns pg_catalog.text language plpgsql as $$ begin return evil.caught('concat'); end $$",
		"create function evil.num_nulls(evil.mood) returns integer language plpgsql as $$ begin perform evil.caught('num_nulls'); return 0; end $$",
		"create function evil.unnest(evil.mood[]) returns setof evil.mood language plpgsql as $$ begin perform evil.caught('unnest'); return; end $$",
		"create temp table messenger_messages (id uuid)", "create temp table pg_attribute (attrelid oid)",
		"create trigger announce after insert on evil.orders for each row execute function looks.dispatch_row('order.placed', 'orders', 'm')",
		`insert into evil.orders values (1, 'sad', '{glad,null,sad}', '(7,glad)', array[(1,'sad')::evil.pair, null], 'sad', 'plain', '[1,3)', 1.50, '{"a":  1}', '{a,null}', null)`,
		"insert into evil.orders values (2)", // nothing but nulls
		"select looks.dispatch('a', '{}', delay => '1 hour', idempotency_key => 'k', group_key => 'g', tags => '{t}', headers => '{\"a\":\"b\"}')",
	} {
		mustExec(t, conn, text)
	}
	if ran := one(t, c.owner, c.admin, "select string_agg(distinct name || ': ' || how, ', ') from evil.who where name <> $1", user); ran != "" {
		t.Errorf("code of the attacker's ran as somebody else: %s", ran)
	}
	rows, err := c.admin.Query(t.Context(), "select convert_from(body, 'UTF8') || coalesce(idempotency_key, '') from looks.messenger_messages where message_type = 'order.placed' order by seq")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"id":1,"m":"sad","ms":["glad",null,"sad"],"p":"(7,glad)","ps":["(1,sad)","(,)"],"d":"sad","t":"plain","r":"[1,3)","n":1.50,"js":{"a": 1},"ts":["a",null],"n2":null}sad`,
		`{"id":2,"m":null,"ms":null,"p":null,"ps":null,"d":null,"t":null,"r":null,"n":null,"js":null,"ts":null,"n2":null}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("what was sent:", diff)
	}
}

// TestTriggerForEverybody: who inserts into a table whose owner sends its rows needs no rights here, as the users of Supabase's data
// API have none. Without the right to send nobody makes such a trigger.
func TestTriggerForEverybody(t *testing.T) {
	dsn := pgtest.Database(t) + "&schema=tr"
	c := withRoles(t, dsn)
	users := apiRoles(t, c)
	mustExec(t, c.admin, `create table public.email_queue (id integer, address text); grant insert on public.email_queue to public;
create trigger send after insert on public.email_queue for each row execute function tr.dispatch_row('email.send', 'mail', 'id')`)
	for _, user := range users {
		if err := c.run(t, user, "insert into public.email_queue values (42, 'ada@example.org')"); err != nil {
			t.Errorf("%s inserts: %v", user, err)
		}
	}
	if n := one(t, c.owner, c.admin, "select count(*)::text || min(convert_from(body, 'UTF8')) from symphony.messenger_messages"); n != `1{"id":42,"address":"ada@example.org"}` {
		t.Errorf("sent: %s", n)
	}
}

// TestRolesFirst: an administrator makes the roles and the schema, and somebody who may do nothing but fill it migrates.
func TestRolesFirst(t *testing.T) {
	dsn := pgtest.Database(t) + "&schema=first"
	c := &cast{dsn: dsn, admin: adminConn(t, dsn), schema: "first"}
	c.dropRoles(t)
	d, err := newDialect("first")
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, c.admin, d.roles())
	deploy := c.login(t, "owner")
	c.owner = openDSN(t, asUser(t, dsn, deploy), nil)
	if other := c.list(t, "select oid::regclass::text from pg_class where relnamespace = $1::regnamespace and relowner <> 'first_owner'::regrole"); len(other) > 0 {
		t.Errorf("not the owner's: %v", other)
	}
	sendOne(t, c.open(t, "worker"), nil)
	mustExec(t, c.as(t, "enqueue"), "select first.dispatch('a')")
}

// TestRolesBySomebodyOrdinary: with CREATEROLE, as on Supabase, no superuser is needed. Making them again changes nothing.
func TestRolesBySomebodyOrdinary(t *testing.T) {
	admin, user := adminOf(t), "r"+strings.ReplaceAll(symphony.NewID().String(), "-", "")
	ctx := context.WithoutCancel(t.Context())
	mustExec(t, admin, "create role "+user+" login createrole")
	t.Cleanup(func() { // after the database is gone
		if _, err := admin.Exec(ctx, "drop role "+user); err != nil {
			t.Error(err)
		}
		_ = admin.Close(ctx)
	})
	dsn := pgtest.Database(t) + "&schema=ordinary"
	c := &cast{dsn: dsn, admin: adminConn(t, dsn), schema: "ordinary"}
	mustExec(t, c.admin, "grant create on database "+c.admin.Config().Database+" to "+user)
	c.owner = openDSN(t, asUser(t, dsn, user), nil)
	c.dropRoles(t)
	conn := adminConn(t, asUser(t, dsn, user))
	mustExec(t, conn, c.owner.sql.roles())
	before := catalog(t, c.admin, "ordinary")
	mustExec(t, conn, c.owner.sql.roles())
	if diff := cmp.Diff(before, catalog(t, c.admin, "ordinary")); diff != "" {
		t.Error("the second time something changed:", diff)
	}
	sendOne(t, c.owner, nil)
	sendOne(t, c.open(t, "worker"), nil)
	mustExec(t, c.as(t, "enqueue"), "select ordinary.dispatch('a')")
	if n := one(t, c.owner, c.as(t, "reader"), "select pending::text from symphony.messenger_queue_depth"); n != "3" {
		t.Errorf("the reader sees %s pending", n)
	}
}

// TestRolesLater: an administrator makes them while an application works that owned everything so far. It goes on, with its connections.
func TestRolesLater(t *testing.T) {
	dsn := roleDSN(t, nil)
	c := &cast{dsn: asUser(t, dsn, "postgres"), schema: defaultSchema}
	c.dropRoles(t)
	store := openDSN(t, dsn, nil)
	sendOne(t, store, nil)
	c.admin = adminConn(t, c.dsn)
	mustExec(t, c.admin, store.sql.roles()+"; set datestyle = 'ISO'")
	if got := one(t, store, c.admin, "select current_setting('search_path') || current_setting('lock_timeout')"); got != `"$user", public0` {
		t.Errorf("the script leaves behind %s", got)
	}
	sendOne(t, store, nil)
	if ds := lease(t, store, "w", 5); len(ds) != 2 {
		t.Errorf("%d of 2 messages came", len(ds))
	}
	if err := store.vacuum(t.Context(), false); err != nil {
		t.Error(err)
	}
	if _, err := store.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRolesThatAreSpecial: functions would run as a superuser.
func TestRolesThatAreSpecial(t *testing.T) {
	dsn := pgtest.DSN(t)
	c := &cast{dsn: dsn}
	c.dropRoles(t)
	c.owner = openDSN(t, dsn, nil)
	c.admin, c.schema = adminConn(t, dsn), c.owner.config.schema
	for _, attribute := range []string{"superuser", "nosuperuser bypassrls", "nobypassrls createrole"} {
		if _, err := c.admin.Exec(t.Context(), fmt.Sprintf("do $$ begin create role %s_owner; exception when duplicate_object then null; end $$; alter role %[1]s_owner %s", c.schema, attribute)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.admin.Exec(t.Context(), c.owner.sql.roles()); err == nil || !strings.Contains(err.Error(), "must have no attributes") {
			t.Errorf("%s: %v", attribute, err)
		}
	}
}
