package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// apiRoles makes the roles of Supabase's data API, and one that somebody let into the schema by mistake; a user of each.
func apiRoles(t *testing.T, c *cast) map[string]string {
	t.Helper()
	users := make(map[string]string)
	for _, role := range []string{"anon", "authenticated"} {
		mustExec(t, c.admin, fmt.Sprintf("do $$ begin create role %s nologin; exception when duplicate_object or unique_violation then null; end $$", role))
		users[role] = role
	}
	users["mistake"] = c.login(t, "enqueue") // with the rights of one who may only send
	mustExec(t, c.admin, fmt.Sprintf("revoke %s_enqueue from %s", c.schema, users["mistake"]))
	return users
}

// attempts are statements with all there is in a schema, by what they do. Each must be refused to somebody without rights.
const attempts = `
with s as (select $1::regnamespace as oid),
relations as (select c.oid, c.oid::regclass::text as name, c.relkind from pg_class c, s where c.relnamespace = s.oid and c.relkind not in ('i', 'I', 'c', 't'))
select name || ' ' || a.verb, replace(a.text, '%', name) from relations, (values
  ('rpvmf', 'select', 'select from %'), ('rpvmf', 'select all', 'select * from % limit 1'), ('rpvmf', 'copy', 'copy (select from %) to stdout'),
  ('rp', 'insert', 'insert into % default values'), ('rp', 'delete', 'delete from %'), ('rp', 'truncate', 'truncate %'), ('rp', 'lock', 'lock table % in access share mode'),
  ('rp', 'rules', 'alter table % disable row level security'), ('rp', 'drop', 'drop table %'), ('v', 'drop', 'drop view %'), ('S', 'nextval', 'select nextval(''%'')'),
  ('S', 'setval', 'select setval(''%'', 7)'), ('S', 'read', 'select last_value from %')) a(kinds, verb, text) where strpos(a.kinds, relkind::text) > 0
union all
select name || ' update ' || attname, format('update %s set %I = %I', name, attname, attname) from relations join pg_attribute on attrelid = relations.oid
where relkind in ('r', 'p') and attnum > 0 and not attisdropped and attidentity <> 'a'
union all
select p.oid::regprocedure || ' execute', format('select %s(%s)', p.oid::regproc, (select string_agg('null::' || format_type(a, null), ', ' order by n)
  from unnest(p.proargtypes) with ordinality x(a, n))) from pg_proc p, s where p.pronamespace = s.oid and p.prorettype <> 'trigger'::regtype
union all
select p.oid::regprocedure || ' trigger', format('create temp table mine%s (id int); create trigger t after insert on mine%1$s for each row execute function %s(''a'')', p.oid, p.oid::regproc)
from pg_proc p, s where p.pronamespace = s.oid and p.prorettype = 'trigger'::regtype
union all
select t.oid::regtype || ' use', format('create temp table of%s (v %s)', t.oid, t.oid::regtype) from pg_type t, s where t.typnamespace = s.oid and t.typtype in ('e', 'd')
union all
select 'create', format('create table %s.x ()', s.oid::regnamespace) from s`

// openTo returns what of a schema is open to a user who must not have anything.
func openTo(t *testing.T, c *cast, user string) (open []string) {
	t.Helper()
	rows, err := c.admin.Query(t.Context(), attempts, c.schema)
	if err != nil {
		t.Fatal(err)
	}
	type attempt struct{ What, Text string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[attempt])
	if err != nil || len(all) < 250 {
		t.Fatalf("%d attempts, %v", len(all), err)
	}
	for _, a := range all {
		tx, err := c.admin.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, tx, "set local role "+user)
		if _, err = tx.Exec(t.Context(), a.Text); !denied(err) {
			open = append(open, fmt.Sprintf("%s (%v)", a.What, err))
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return open
}

// TestStrangers: to PUBLIC, to Supabase's data API, and to somebody who was let into the schema by mistake, nothing is open of all there
// is in the catalog: what is new and has no rule fails here.
func TestStrangers(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	users := apiRoles(t, c)
	for name, user := range users {
		if err := c.run(t, user, "select 1 from symphony.messenger_state"); !denied(err) || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: the schema is open: %v", name, err)
		}
		mustExec(t, c.admin, fmt.Sprintf("grant usage on schema %s to %s", c.schema, user))
		for _, what := range openTo(t, c, user) {
			t.Errorf("%s: open: %s", name, what)
		}
	}
	// Each kind of thing without a rule is found.
	mustExec(t, c.admin, c.owner.sql.in(`create function symphony.forgotten() returns integer language sql as 'select 1';
create table symphony.messenger_forgotten (id integer generated always as identity); grant select on symphony.messenger_forgotten to public;
create view symphony.messenger_unseen as select 1; grant select on symphony.messenger_unseen to anon;
grant usage on sequence symphony.messenger_messages_seq_seq to authenticated; grant update (priority) on symphony.messenger_messages to authenticated`))
	for user, want := range map[string][]string{
		users["mistake"]: {"messenger_forgotten select", "forgotten() execute"},
		"anon":           {"messenger_forgotten select", "forgotten() execute", "messenger_unseen select"},
		"authenticated":  {"messenger_forgotten select", "forgotten() execute", "messenger_messages_seq_seq nextval"},
	} {
		open := openTo(t, c, user)
		for _, what := range want {
			if !slices.ContainsFunc(open, func(s string) bool { return strings.HasPrefix(s, c.schema+"."+what) }) {
				t.Errorf("%s: that %s is open is not found among %v", user, what, open)
			}
		}
	}
	// And closed by the next migration, as far as it is ours.
	mustExec(t, c.admin, c.owner.sql.in("drop function symphony.forgotten()"))
	mustExec(t, c.admin, c.owner.sql.roles())
	for name, user := range users {
		if err := c.run(t, user, "select from symphony.messenger_state"); name != "mistake" && (!denied(err) || !strings.Contains(err.Error(), "schema")) {
			t.Errorf("%s: the schema stays open: %v", name, err)
		}
		mustExec(t, c.admin, fmt.Sprintf("grant usage on schema %s to %s", c.schema, user))
		for _, what := range openTo(t, c, user) {
			t.Errorf("%s: still open: %s", name, what)
		}
	}
}

// run executes one statement as another user.
func (c *cast) run(t *testing.T, user, text string) error {
	t.Helper()
	mustExec(t, c.admin, "set role "+user)
	_, err := c.admin.Exec(t.Context(), c.owner.sql.in(text))
	mustExec(t, c.admin, "reset role")
	return err
}

// TestDefaultPrivileges: Supabase opens everything new in some schemas, and somebody may have done so in all of them. What is made later,
// such as a partition, is closed too.
func TestDefaultPrivileges(t *testing.T) {
	for _, roles := range []bool{false, true} {
		t.Run(fmt.Sprint("roles ", roles), func(t *testing.T) {
			dsn := pgtest.Database(t) + "&schema=open_" + fmt.Sprint(roles)
			c := &cast{dsn: dsn, admin: adminConn(t, dsn)}
			c.dropRoles(t)
			c.schema = "open_" + fmt.Sprint(roles)
			for _, role := range []string{"anon", "authenticated"} {
				mustExec(t, c.admin, fmt.Sprintf("do $$ begin create role %s nologin; exception when duplicate_object or unique_violation then null; end $$", role))
			}
			mustExec(t, c.admin, `alter default privileges grant all on tables to anon, authenticated, public; alter default privileges grant all on functions to anon, authenticated;
alter default privileges grant all on sequences to anon, authenticated; alter default privileges grant all on schemas to anon, authenticated; alter default privileges grant all on types to anon`)
			c.owner = openDSN(t, dsn, nil)
			if roles {
				mustExec(t, c.admin, c.owner.sql.roles())
			}
			for _, part := range c.list(t, "select oid::regclass::text from pg_class where relnamespace = $1::regnamespace and relname ~ '^messenger_history_2.*' and relkind = 'r'") {
				mustExec(t, c.admin, "drop table "+part)
			}
			mustExec(t, c.admin, c.owner.sql.in("select symphony.messenger_partition('24 hours')"))
			for _, user := range []string{"anon", "authenticated"} {
				mustExec(t, c.admin, fmt.Sprintf("grant usage on schema %s to %s", c.schema, user))
				for _, what := range openTo(t, c, user) {
					t.Errorf("%s: open: %s", user, what)
				}
			}
			if n := len(c.list(t, "select relname::text from pg_class where relnamespace = $1::regnamespace and relkind in ('r', 'p') and not relrowsecurity")); n > 0 {
				t.Errorf("%d tables without row level security", n)
			}
		})
	}
}
