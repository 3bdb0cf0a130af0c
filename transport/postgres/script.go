package postgres

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/monitor"
)

// script is a step for those who apply it with a tool of their own: with all that Migrate does around it.
func (d *dialect) script(m monitor.Migration, last bool) string {
	rights := ""
	if last {
		rights = "\n" + d.in(rightsText)
	}
	// "If not exists" needs the right to make a schema, also when it exists.
	return fmt.Sprintf("do $$ begin\n  if pg_catalog.to_regnamespace('%[1]s') is null then\n    create schema %[1]s;\n  end if;\nend $$;\n%[2]s\n%[3]s\n"+
		"insert into %[4]s (version, name, applied_at, oldest_compatible) values (%[5]d, '%[6]s', clock_timestamp(), %[7]d);\n%[8]s",
		pgx.Identifier{d.schema}.Sanitize(), d.in(ledger), m.SQL, d.in("symphony.messenger_migrations"), m.Version, m.Name, d.release.oldest, rights)
}

// roles is the script that makes the roles and gives them their rights, as far as there is something to give them.
func (d *dialect) roles() string { return d.in(rolesText + "\n" + rightsText) }

// RolesSQL implements [monitor.Scripter]. Whoever executes it needs CREATEROLE: rights/roles.sql says what the roles are for.
func (t *Transport) RolesSQL() string { return t.sql.roles() }

// SupabaseSQL implements [monitor.Scripter].
func (t *Transport) SupabaseSQL(after int) (string, error) {
	all, err := t.sql.steps()
	if err != nil {
		return "", err
	}
	if after < 0 || after >= len(all) {
		return "", fmt.Errorf("steps after version %d: the last one is %d", after, len(all))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `-- Symphony Messenger: the steps %d to %d of schema %s, and its roles. Made by
--   symphony migrate sql --supabase
-- for a project of the Supabase command line:
--   symphony migrate sql --supabase | supabase migration new symphony
-- and after an upgrade, with only what is new:
--   symphony migrate sql --supabase --after %[2]d | supabase migration new symphony_upgrade

`, after+1, len(all), t.sql.schema)
	for _, m := range all[after:] {
		fmt.Fprintf(&b, "-- Step %d: %s\n\n%s\n", m.Version, m.Name, strings.TrimRight(t.sql.script(m, false), "\n"))
		b.WriteByte('\n')
	}
	b.WriteString(t.sql.roles())
	return b.String(), nil
}
