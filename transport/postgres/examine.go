package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Limits beyond which Examine warns.
const (
	oldestServer = 140000
	skewedClock  = 2 * time.Second
	longOpen     = 5 * time.Minute // vacuum removes nothing that is younger than the oldest transaction
	manyDeadRows = 100_000
	mostConns    = 0.8
	listenWithin = 3 * time.Second
)

// An examination is what Examine has found so far.
type examination struct {
	t      *Transport
	checks []monitor.Check
}

func (e *examination) add(name string, level monitor.Level, text, hint string) {
	e.checks = append(e.checks, monitor.Check{Name: name, Level: level, Text: text, Hint: hint})
}

// judge adds a check that says fine, unless it is bad: then it warns with what of says.
func (e *examination) judge(bad bool, fine string, of monitor.Check) {
	if of.Level = monitor.LevelWarn; !bad {
		of = monitor.Check{Name: of.Name, Level: monitor.LevelOK, Text: fine}
	}
	e.checks = append(e.checks, of)
}

func (e *examination) failed(name string, err error) {
	e.checks = append(e.checks, monitor.Check{Name: name, Level: monitor.LevelFail, Text: err.Error(), Err: err})
}

// Examine implements [monitor.Examiner].
func (t *Transport) Examine(ctx context.Context) []monitor.Check {
	e := examination{t: t}
	if !e.server(ctx) {
		return e.checks
	}
	e.transactions(ctx)
	e.pooler(ctx)
	if err := t.check(ctx); err != nil && !errors.Is(err, symphony.ErrNotMigrated) {
		e.failed("schema", err) // too new; or whoever sees no row sees no step either
		return e.checks
	}
	steps, err := t.Migrations(ctx)
	if err != nil {
		e.failed("schema", err)
		return e.checks
	}
	schema := monitor.ExamineSchema(steps)
	e.checks = append(e.checks, schema)
	if schema.Level != monitor.LevelOK {
		return e.checks
	}
	e.tables(ctx)
	e.subscriptions(ctx)
	return e.checks
}

// facts are what the server says about itself.
type facts struct {
	number       int
	version      string
	readOnly     bool
	clock        time.Time
	fsync, pages bool
	commit       string
	tls          bool
	used, most   int // connections
	user         string

	asked time.Time     // when, by this machine's clock
	took  time.Duration // to answer
}

// server asks the server about itself, and says whether it answers.
func (e *examination) server(ctx context.Context) bool {
	var s facts
	err := within(ctx, func(ctx context.Context) error {
		if err := e.t.work.Ping(ctx); err != nil {
			return err
		}
		s.asked = time.Now()
		err := e.t.work.QueryRow(ctx, e.t.sql.examineServer).Scan(&s.number, &s.version, &s.readOnly, &s.clock, &s.fsync, &s.pages, &s.commit,
			&s.tls, &s.used, &s.most, &s.user)
		s.took = time.Since(s.asked)
		return err
	})
	if err != nil {
		e.failed("reach", e.t.fail("ask", err))
		return false
	}
	e.add("reach", monitor.LevelOK, fmt.Sprintf("%s, PostgreSQL %s, as %s, %s; answers within %v",
		e.t.config.where(), s.version, s.user, tls(s.tls), s.took.Round(100*time.Microsecond)), "")
	e.weigh(s)
	return true
}

func (e *examination) weigh(s facts) {
	e.judge(s.number < oldestServer, "it is supported", monitor.Check{
		Name: "version", Text: "PostgreSQL before 14 is not tested",
		Hint: "upgrade the server",
	})
	if s.readOnly {
		e.add("writes", monitor.LevelFail, "the server takes no writes", "name the primary in the DSN, or all hosts and target_session_attrs=read-write")
	}
	e.judge(!s.fsync || !s.pages || s.commit == "off", "a crash of the server loses nothing", monitor.Check{
		Name: "durability", Text: fmt.Sprintf("fsync=%s full_page_writes=%s synchronous_commit=%s: a crash of the server loses messages that were accepted",
			onOff(s.fsync), onOff(s.pages), s.commit),
		Hint: "set them to on",
	})
	skew := s.clock.Sub(s.asked.Add(s.took / 2)).Abs().Round(time.Millisecond)
	differs := fmt.Sprintf("the server's differs from this machine's by %v", skew)
	e.judge(skew > skewedClock, differs, monitor.Check{
		Name: "clock", Text: differs,
		Hint: "messages go by the server's; synchronize both, so that logs can be compared",
	})
	used := fmt.Sprintf("%d of %d are in use", s.used, s.most)
	e.judge(float64(s.used) > mostConns*float64(s.most), used, monitor.Check{
		Name: "connections", Text: used,
		Hint: "raise max_connections, or put a pooler in between, with ?pgbouncer=true in the DSN",
	})
}

// transactions looks for what keeps dead rows.
func (e *examination) transactions(ctx context.Context) {
	var all []monitor.Holder
	err := within(ctx, func(ctx context.Context) error {
		all = nil
		return native{e.t.work}.query(ctx, e.t.sql.examineHolders, nil, func(scan scanner) error {
			var h monitor.Holder
			var age int64
			err := scan(&h.Kind, &h.Name, &h.PID, &h.State, &age, &h.Held, &h.Query, &h.Ours)
			h.Age = time.Duration(age) * time.Millisecond
			all = append(all, h)
			return err
		})
	})
	if err != nil {
		e.failed("transactions", e.t.fail("look at the transactions of", err))
		return
	}
	e.hold(all)
}

func (e *examination) hold(all []monitor.Holder) {
	var oldest monitor.Holder
	for _, h := range all {
		if h.Age > oldest.Age {
			oldest = h
		}
	}
	e.judge(oldest.Age > longOpen, "none has been open for long", monitor.Check{
		Name: "transactions",
		Text: fmt.Sprintf("one of %q has been open for %v: rows that it may see are not vacuumed, and claims become slow", oldest.Name, oldest.Age.Round(time.Second)),
		Hint: "`doctor --verbose` shows it, as do pg_stat_activity and pg_prepared_xacts",
	})
	e.checks[len(e.checks)-1].Holders = all
}

func tls(on bool) string {
	if on {
		return "with TLS"
	}
	return "without TLS"
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// pooler looks at what stands between here and the server, and at how workers hear of new messages.
func (e *examination) pooler(ctx context.Context) {
	c := &e.t.config
	seems := int(c.conn.Port) == poolerPort || strings.HasSuffix(c.conn.Host, poolerName) && c.conn.Port != 5432
	switch {
	case c.pooled:
		e.add("pooler", monitor.LevelOK, "one in transaction mode: nothing needs a session", "")
	case seems:
		e.add("pooler", monitor.LevelWarn, fmt.Sprintf("%s:%d seems to be a pooler in transaction mode", c.conn.Host, c.conn.Port), "add ?pgbouncer=true to the DSN")
	default:
		e.add("pooler", monitor.LevelOK, "none, or one in session mode", "")
	}
	if c.listen == nil {
		e.add("listen", monitor.LevelWarn, "workers are not told of new messages: they find them by polling, within 250 ms", "name a way around the pooler with listen_dsn=… in the DSN")
		return
	}
	took, err := e.t.hearOneself(ctx)
	if err != nil {
		e.add("listen", monitor.LevelWarn, fmt.Sprintf("a notification did not arrive: %v", err), "a pooler in transaction mode loses them: add ?pgbouncer=true to the DSN, and listen_dsn=… for a way around it")
		return
	}
	e.add("listen", monitor.LevelOK, fmt.Sprintf("a notification arrived within %v", took.Round(100*time.Microsecond)), "")
}

// hearOneself sends a notification on one connection and waits for it on the one for listening.
func (t *Transport) hearOneself(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, listenWithin)
	defer cancel()
	config := t.config.listen.Copy()
	t.config.prepareSession(config)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	channel := "symphony_doctor_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return 0, err
	}
	begun := time.Now()
	if _, err := t.work.Exec(ctx, "select pg_catalog.pg_notify($1, '')", channel); err != nil {
		return 0, err
	}
	_, err = conn.WaitForNotification(ctx)
	return time.Since(begun), err
}

func (e *examination) tables(ctx context.Context) {
	var all []monitor.Table
	var mayVacuum bool
	var workers int
	err := within(ctx, func(ctx context.Context) error {
		all = nil
		err := native{e.t.work}.query(ctx, e.t.sql.examineTables, []any{e.t.sql.schema}, func(scan scanner) error {
			var t monitor.Table
			var vacuumed *time.Time
			err := scan(&t.Name, &t.Bytes, &t.Rows, &t.Dead, &vacuumed, &t.Parts)
			t.Vacuumed = instant(vacuumed)
			all = append(all, t)
			return err
		})
		if err != nil {
			return err
		}
		return e.t.work.QueryRow(ctx, e.t.sql.examineRights).Scan(&mayVacuum, &workers)
	})
	if err != nil {
		e.failed("tables", e.t.fail("look at the tables of", err))
		return
	}
	e.judge(!mayVacuum, "the user may vacuum the tables of messages", monitor.Check{
		Name: "vacuum", Text: "the user may not vacuum the tables of messages: under load, claims become several times slower within a minute",
		Hint: "make the user a member of the role that owns them, or, from PostgreSQL 17 on, grant MAINTAIN",
	})
	e.weighTables(all)
	e.checks = append(e.checks, monitor.ExamineWorkers(workers))
}

// weighTables warns of the first table that is mostly dead rows; else it says how that of messages is.
func (e *examination) weighTables(all []monitor.Table) {
	bad := func(t monitor.Table) bool { return t.Dead > manyDeadRows && t.Dead > t.Rows }
	i := slices.IndexFunc(all, bad)
	if i < 0 {
		i = slices.IndexFunc(all, func(t monitor.Table) bool { return t.Name == "messenger_messages" })
	}
	t := all[i]
	text := fmt.Sprintf("%s has %d rows, %d dead ones, %d MiB with its indexes", t.Name, t.Rows, t.Dead, t.Bytes>>20)
	e.judge(bad(t), text, monitor.Check{
		Name: "bloat", Text: text,
		Hint: "something keeps vacuum from removing them: a long transaction, or a missing right",
	})
	e.checks[len(e.checks)-1].Tables = all
}

func (e *examination) subscriptions(ctx context.Context) {
	var unseen []symphony.Subscription
	err := within(ctx, func(ctx context.Context) error {
		unseen = nil
		return native{e.t.work}.query(ctx, e.t.sql.examineSubscriptions, []any{monitor.StaleAfter.Seconds()}, func(scan scanner) error {
			var s symphony.Subscription
			err := scan(&s.Type, &s.Subscriber, &s.Owner)
			unseen = append(unseen, s)
			return err
		})
	})
	if err != nil {
		e.failed("subscriptions", e.t.fail("look at the subscriptions of", err))
		return
	}
	e.checks = append(e.checks, monitor.ExamineSubscriptions(unseen))
}
