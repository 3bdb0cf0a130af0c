package postgres

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// catalog lists everything there is in a schema, so that two can be compared.
func catalog(t *testing.T, conn *pgx.Conn, schema string) []string {
	t.Helper()
	partition := regexp.MustCompile(`messenger_history_\d{8}_\d\d`)
	rows, err := conn.Query(t.Context(), catalogText, schema)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(all) < 100 {
		t.Fatal(len(all), err)
	}
	for i, line := range all {
		line = partition.ReplaceAllString(line, "messenger_history_HOUR")
		line = strings.ReplaceAll(strings.ReplaceAll(line, `"`+schema+`".`, "SCHEMA."), schema+".", "SCHEMA.")
		all[i] = strings.ReplaceAll(line, schema+"_", "SCHEMA_") // roles
	}
	slices.Sort(all)
	return slices.Compact(all)
}

const catalogText = `
with ours as (select oid from pg_namespace where nspname = $1)
select format('%s %s %s %s', c.relkind, c.oid::regclass, c.reloptions, obj_description(c.oid, 'pg_class')) from pg_class c where relnamespace in (select * from ours)
union all
select format('column %s.%s %s %s %s %s %s %s', a.attrelid::regclass, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
  (select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = a.attrelid and adnum = a.attnum), col_description(a.attrelid, a.attnum)) || a.attcollation::regcollation
from pg_attribute a join pg_class c on c.oid = a.attrelid where c.relnamespace in (select * from ours) and a.attnum > 0
union all select pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indexrelid where c.relnamespace in (select * from ours)
union all select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint where connamespace in (select * from ours)
union all select pg_get_functiondef(oid) || coalesce(obj_description(oid, 'pg_proc'), '') from pg_proc where pronamespace in (select * from ours)
union all select format('type %s %s %s', t.oid::regtype, obj_description(t.oid, 'pg_type'), (select string_agg(enumlabel, ',' order by enumsortorder) from pg_enum where enumtypid = t.oid))
from pg_type t where t.typnamespace in (select * from ours)
union all select pg_get_triggerdef(g.oid) || obj_description(g.oid, 'pg_trigger') from pg_trigger g join pg_class c on c.oid = g.tgrelid where c.relnamespace in (select * from ours) and not g.tgisinternal
union all select pg_get_viewdef(oid) from pg_class where relkind = 'v' and relnamespace in (select * from ours)
union all select format('policy %s %s %s %s %s %s', y.polname, y.polrelid::regclass, y.polcmd, array(select r::regrole::text from unnest(y.polroles) r order by 1),
  pg_get_expr(y.polqual, y.polrelid), pg_get_expr(y.polwithcheck, y.polrelid))
from pg_policy y join pg_class c on c.oid = y.polrelid where c.relnamespace in (select * from ours)
union all select format('owner %s %s, row level security %s', c.oid::regclass, c.relowner::regrole, c.relrowsecurity) from pg_class c where c.relnamespace in (select * from ours)
union all select format('owner %s %s', p.oid::regprocedure, p.proowner::regrole) from pg_proc p where p.pronamespace in (select * from ours)
union all select format('grant %s %s', c.oid::regclass, a) from pg_class c, unnest(c.relacl) a where c.relnamespace in (select * from ours)
union all select format('grant %s %s', p.oid::regprocedure, a) from pg_proc p, unnest(p.proacl) a where p.pronamespace in (select * from ours)
union all select format('grant %s %s', t.oid::regtype, a) from pg_type t, unnest(t.typacl) a where t.typnamespace in (select * from ours)
union all select format('grant schema %s', a) from pg_namespace n, unnest(n.nspacl) a where n.nspname = $1
union all select format('comment of constraint %s %s', k.conname, obj_description(k.oid, 'pg_constraint')) from pg_constraint k where k.connamespace in (select * from ours)`
