package postgres

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

// found returns the checks by name.
func found(t *testing.T, all []monitor.Check) map[string]monitor.Check {
	t.Helper()
	m := make(map[string]monitor.Check)
	for _, c := range all {
		if _, twice := m[c.Name]; twice || c.Text == "" || (c.Level == monitor.LevelWarn) != (c.Hint != "") && c.Level != monitor.LevelFail {
			t.Errorf("a check that is there twice, says nothing, or warns without a hint: %+v", c)
		}
		m[c.Name] = c
	}
	return m
}

func wantLevels(t *testing.T, got map[string]monitor.Check, want map[string]monitor.Level) {
	t.Helper()
	for name, level := range want {
		if got[name].Level != level {
			t.Errorf("%s: %+v, want %s", name, got[name], level)
		}
	}
}

func TestExamine(t *testing.T) {
	store := openTest(t, nil)
	wantLevels(t, found(t, store.Examine(t.Context())), map[string]monitor.Level{
		"reach": monitor.LevelOK, "version": monitor.LevelOK, "clock": monitor.LevelOK, "listen": monitor.LevelOK, "schema": monitor.LevelOK,
		"vacuum": monitor.LevelOK, "bloat": monitor.LevelOK, "transactions": monitor.LevelOK, "subscriptions": monitor.LevelOK,
		"pooler": monitor.LevelOK, "workers": monitor.LevelWarn,
	})

	// A subscriber of a program that is gone, and a worker that lives.
	subs := []symphony.Subscription{{Type: "order", Subscriber: "ledger", Owner: "shop"}, {Type: "order", Subscriber: "mailer", Owner: "shop"}}
	if err := store.Subscribe(t.Context(), subs); err != nil {
		t.Fatal(err)
	}
	exec(t, store, "update symphony.messenger_subscriptions set last_seen = last_seen - interval '8 days' where subscriber = 'ledger'")
	exec(t, store, "insert into symphony.messenger_workers (identity, started_at, alive_until, lease) values "+
		"('w', symphony.clock(), symphony.clock() + interval '1 minute', interval '30 s'), ('gone', symphony.clock(), symphony.clock() - interval '1 s', interval '30 s')")
	got := found(t, store.Examine(t.Context()))
	if s := got["subscriptions"]; s.Level != monitor.LevelWarn || !strings.Contains(s.Text, "order to ledger (shop)") || strings.Contains(s.Text, "mailer") {
		t.Errorf("subscriptions: %+v", s)
	}
	if w := got["workers"]; w.Level != monitor.LevelOK || w.Text != "1 alive" {
		t.Errorf("workers: %+v", w)
	}
}

func exec(t *testing.T, store *Transport, text string) {
	t.Helper()
	if _, err := store.work.Exec(t.Context(), store.sql.in(text)); err != nil {
		t.Fatal(err)
	}
}

// TestExamineBefore: what cannot be reached or is not migrated is one check that failed, and no panic.
func TestExamineBefore(t *testing.T) {
	away := openDSNOnly(t, "postgres://u:hunter2@127.0.0.1:1/db", nil)
	if all := away.Examine(t.Context()); len(all) != 1 || all[0].Level != monitor.LevelFail || strings.Contains(all[0].Text, "hunter2") {
		t.Errorf("out of reach: %+v", all)
	}
	empty := openDSNOnly(t, pgtest.DSN(t), nil)
	wantLevels(t, found(t, empty.Examine(t.Context())), map[string]monitor.Level{"reach": monitor.LevelOK, "schema": monitor.LevelFail})
}

// TestExamineRights: a user who may read and write, but not vacuum, and one who sees nothing for want of a role.
func TestExamineRights(t *testing.T) {
	c := withRoles(t, pgtest.DSN(t))
	as := func(user string) *Transport {
		u, err := url.Parse(c.dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.User(user)
		return openDSNOnly(t, u.String(), nil)
	}
	wantLevels(t, found(t, as(c.login(t, "admin")).Examine(t.Context())), map[string]monitor.Level{"schema": monitor.LevelOK, "vacuum": monitor.LevelWarn})
	guest := c.login(t, "reader")
	exec(t, c.owner, "revoke "+c.schema+"_reader from "+guest)
	for _, text := range []string{"grant usage on schema ", "grant select on all tables in schema ", "grant execute on all functions in schema "} {
		exec(t, c.owner, text+c.schema+" to "+guest)
	}
	got := found(t, as(guest).Examine(t.Context()))
	if schema := got["schema"]; schema.Level != monitor.LevelFail || !strings.Contains(schema.Text, "grant it the role "+c.schema+"_worker") {
		t.Errorf("a user with grants and no role: %+v", schema)
	}
}

// TestExaminePooler: with a pooler in transaction mode nobody is told of new messages.
func TestExaminePooler(t *testing.T) {
	store := openDSN(t, withOptions(pgtest.DSN(t), "pgbouncer=true"), nil)
	got := found(t, store.Examine(t.Context()))
	wantLevels(t, got, map[string]monitor.Level{"pooler": monitor.LevelOK, "listen": monitor.LevelWarn, "schema": monitor.LevelOK})
	if !strings.Contains(got["pooler"].Text, "transaction mode") {
		t.Errorf("pooler: %+v", got["pooler"])
	}
}

// TestWeigh: what the server says about itself, and what is thought of it.
func TestWeigh(t *testing.T) {
	now := time.Now()
	good := facts{number: 170000, fsync: true, pages: true, commit: "on", used: 10, most: 100, clock: now, asked: now, user: "u"}
	for name, tt := range map[string]struct {
		change func(*facts)
		check  string
		level  monitor.Level
	}{
		"old":           {func(f *facts) { f.number = 130000 }, "version", monitor.LevelWarn},
		"standby":       {func(f *facts) { f.readOnly = true }, "writes", monitor.LevelFail},
		"fsync off":     {func(f *facts) { f.fsync = false }, "durability", monitor.LevelWarn},
		"pages off":     {func(f *facts) { f.pages = false }, "durability", monitor.LevelWarn},
		"commit off":    {func(f *facts) { f.commit = "off" }, "durability", monitor.LevelWarn},
		"commit local":  {func(f *facts) { f.commit = "local" }, "durability", monitor.LevelOK},
		"ahead":         {func(f *facts) { f.clock = now.Add(3 * time.Second) }, "clock", monitor.LevelWarn},
		"behind":        {func(f *facts) { f.clock = now.Add(-3 * time.Second) }, "clock", monitor.LevelWarn},
		"slow, not off": {func(f *facts) { f.took, f.clock = 8*time.Second, now.Add(4*time.Second) }, "clock", monitor.LevelOK},
		"full":          {func(f *facts) { f.used = 81 }, "connections", monitor.LevelWarn},
	} {
		f := good
		tt.change(&f)
		var e examination
		e.weigh(f)
		for _, c := range e.checks {
			want := monitor.LevelOK
			if c.Name == tt.check {
				want = tt.level
			}
			if c.Level != want {
				t.Errorf("%s: %+v, want %s", name, c, want)
			}
		}
	}
}

// TestWeighFigures: which figures are bad, and that the checks have them.
func TestWeighFigures(t *testing.T) {
	open := func(age time.Duration) monitor.Holder {
		return monitor.Holder{Kind: "transaction", Name: "report", Age: age}
	}
	slot := monitor.Holder{Kind: "replica", Name: "slot", Held: 1 << 30}
	for _, tt := range []struct {
		all   []monitor.Holder
		level monitor.Level
	}{
		{nil, monitor.LevelOK},
		{[]monitor.Holder{open(299 * time.Second), slot}, monitor.LevelOK},
		{[]monitor.Holder{slot, open(time.Second), open(301 * time.Second)}, monitor.LevelWarn},
	} {
		var e examination
		e.hold(tt.all)
		if c := e.checks[0]; c.Level != tt.level || len(c.Holders) != len(tt.all) || (c.Level == monitor.LevelWarn) != strings.Contains(c.Text, `"report" has been open for 5m1s`) {
			t.Errorf("%+v: %+v", tt.all, c)
		}
	}
	messages := monitor.Table{Name: "messenger_messages", Rows: 5, Dead: 100_001}
	for _, tt := range []struct {
		keys  monitor.Table
		rows  int64
		level monitor.Level
		named string
	}{
		{monitor.Table{Name: "messenger_keys"}, 200_000, monitor.LevelOK, "messenger_messages"},
		{monitor.Table{Name: "messenger_keys"}, 5, monitor.LevelWarn, "messenger_messages"},
		{monitor.Table{Name: "messenger_keys", Dead: 100_001}, 200_000, monitor.LevelWarn, "messenger_keys"},
	} {
		var e examination
		messages.Rows = tt.rows
		e.weighTables([]monitor.Table{tt.keys, messages})
		if c := e.checks[0]; c.Level != tt.level || len(c.Tables) != 2 || !strings.HasPrefix(c.Text, tt.named) {
			t.Errorf("%+v: %+v", tt, c)
		}
	}
}
