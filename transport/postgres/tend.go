package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// How often a process that works looks after the tables. Autovacuum comes by once a minute, by when claims walk over
// hundreds of thousands of rows that nobody needs any more.
const (
	tendEvery   = 500 * time.Millisecond
	vacuumEvery = 2 * time.Second
	vacuumRows  = 5000             // changed here; below that, only seldom
	vacuumLate  = 60 * time.Second // also few rows are worth it then
	vacuumRest  = 30 * time.Second // at most, while there is little to remove
	// A server that hangs must not stop the upkeep for ever.
	vacuumWithin = 10 * time.Minute
)

// hot are the tables that every message changes.
var hot = []string{
	"messenger_messages", "messenger_stats_deltas", "messenger_stats", "messenger_workers", "messenger_group_wakes", "messenger_groups", "messenger_keys",
}

// A tending is what tend knows from one round to the next.
type tending struct {
	t        *Transport
	folded   int64 // the changes before the last fold
	cleaned  int64 // and before the last vacuum
	vacuumed time.Time
	vacuum   time.Duration // how long the last one took
	rest     time.Duration // until the next one: the last ones removed little
	dead     int64         // before the last one, until it was looked at what it has left
}

// tend folds the counters, vacuums, and raises the floors of claims, as long as there is something to do.
func (t *Transport) tend(ctx context.Context) {
	t.service.checkRights(ctx)
	g := tending{t: t, vacuumed: time.Now()}
	for sleep.For(ctx, tendEvery) == nil {
		if err := g.fold(ctx); err != nil {
			t.service.complain("add up counters", err)
		}
		if err := t.suspect(ctx); err != nil {
			t.service.complain("find out why claims are slow", err)
		}
		if err := g.clean(ctx); err != nil {
			t.service.complain("vacuum", err)
		}
	}
}

// fold folds the counters as long as a vacuum is due some time, and in any case what has changed here since the last time began: that may have
// been between a fold and a vacuum.
func (g *tending) fold(ctx context.Context) error {
	changes := g.t.service.changes.Load()
	if changes == g.folded && changes == g.cleaned {
		return nil
	}
	err := g.t.fold(ctx)
	if err == nil {
		g.folded = changes
	}
	return err
}

// foldRows is how many changes of the counters are added up at once.
const foldRows = 10_000

func (t *Transport) fold(ctx context.Context) error {
	for {
		var n int
		err := t.retry(ctx, func(ctx context.Context) error { return t.upkeep.QueryRow(ctx, t.sql.fold, foldRows).Scan(&n) })
		if err != nil || n < foldRows {
			return err
		}
	}
}

// suspect raises the floors if claims have become slow for dead rows that are still there after a vacuum.
func (t *Transport) suspect(ctx context.Context) error {
	if !t.floors.suspect() {
		return nil
	}
	dead, err := t.dead(ctx)
	if err == nil && dead >= manyDead {
		t.floors.rise()
	}
	return err
}

// dead is how many old rows the table of messages has, as the statistics know: soon after a vacuum, those that it could not remove.
func (t *Transport) dead(ctx context.Context) (n int64, err error) {
	err = within(ctx, func(ctx context.Context) error {
		return t.upkeep.QueryRow(ctx, "select pg_catalog.pg_stat_get_dead_tuples(pg_catalog.to_regclass($1))", t.sql.in("symphony.messenger_messages")).Scan(&n)
	})
	return n, err
}

// clean vacuums the hot tables if enough has changed here, and nobody else has just done it.
func (g *tending) clean(ctx context.Context) error {
	if err := g.judge(ctx); err != nil {
		return err
	}
	changed := g.t.service.changes.Load()
	changes, since := changed-g.cleaned, time.Since(g.vacuumed)
	wait := max(vacuumEvery, g.rest)
	if since < max(wait, 8*g.vacuum) || changes < vacuumRows && (changes == 0 || since < vacuumLate) {
		return nil
	}
	g.vacuumed = time.Now()
	dead, err := g.t.dead(ctx)
	if err != nil {
		return err
	}
	ours := false
	err = within(ctx, func(ctx context.Context) error {
		tag, err := g.t.upkeep.Exec(ctx, g.t.sql.turn, "vacuum", (wait - tendEvery).Milliseconds())
		ours = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return err
	}
	g.cleaned = changed
	if !ours {
		return nil
	}
	g.dead = max(dead, 1)
	ctx, cancel := context.WithTimeout(ctx, vacuumWithin)
	defer cancel()
	begun, gently := time.Now(), g.rest > 0
	err = g.t.vacuum(ctx, gently)
	if g.vacuum = time.Since(begun); gently {
		g.vacuum, g.vacuumed = 0, time.Now() // most of it were pauses
	}
	return err
}

// judge looks at what the last vacuum has left, in the round after it: before PostgreSQL 15 that is not known at once. As long as a transaction that is open
// sees the old rows, each vacuum reads all of them and removes nothing, and claims have a processor less for an eighth of the time.
func (g *tending) judge(ctx context.Context) error {
	if g.dead == 0 {
		return nil
	}
	left, err := g.t.dead(ctx)
	if err != nil {
		return err
	}
	if left < manyDead || left < g.dead/2 {
		g.rest = 0
	} else {
		g.rest = min(max(2*g.rest, 2*vacuumEvery), vacuumRest)
	}
	g.dead = 0
	return nil
}

// vacuum vacuums the hot tables. That may take longer than the role's statements may; behind a pooler nothing can be done about it. gently: with pauses,
// where it will hardly find anything to remove, but fewer for pages that it changes than autovacuum makes.
func (t *Transport) vacuum(ctx context.Context, gently bool) error {
	settings := map[string]string{"statement_timeout": "0"}
	if gently {
		settings["vacuum_cost_delay"], settings["vacuum_cost_page_dirty"] = "'5ms'", "5"
	}
	return t.upkeep.AcquireFunc(ctx, func(conn *pgxpool.Conn) (err error) {
		if !t.config.pooled {
			for name, value := range settings {
				if _, err := conn.Exec(ctx, "set "+name+" = "+value); err != nil {
					return err
				}
				defer func() {
					_, late := conn.Exec(ctx, "reset "+name)
					err = errors.Join(err, late)
				}()
			}
		}
		_, err = conn.Exec(ctx, t.vacuumText(), pgx.QueryExecModeSimpleProtocol)
		return err
	})
}

// vacuumText does not give pages back to the system, which would lock the table, and passes over what others vacuum.
func (t *Transport) vacuumText() string {
	tables := make([]string, len(hot))
	for i, name := range hot {
		tables[i] = t.sql.in("symphony." + name)
	}
	return "vacuum (truncate off, skip_locked on) " + strings.Join(tables, ", ")
}

// checkRights says once what it costs when the user may not vacuum.
func (s *service) checkRights(ctx context.Context) {
	var may bool
	err := within(ctx, func(ctx context.Context) error {
		return s.t.work.QueryRow(ctx, `select pg_catalog.pg_has_role(c.relowner, 'USAGE')
  or pg_catalog.current_setting('server_version_num')::int >= 170000 and pg_catalog.has_table_privilege(c.oid, case
    when pg_catalog.current_setting('server_version_num')::int >= 170000 then 'MAINTAIN' else 'SELECT' end)
from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)`, s.t.sql.in("symphony.messenger_messages")).Scan(&may)
	})
	if err == nil && !may {
		s.t.options.Logger.Warn("the user of the database may not vacuum the tables of messages: under load, claims become several times slower within a minute. "+
			"Make the user a member of the role that owns them, or, from PostgreSQL 17 on, grant MAINTAIN", "store", s.t.config.where())
	}
}
