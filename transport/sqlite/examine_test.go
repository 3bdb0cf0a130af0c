package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func found(all []monitor.Check) map[string]monitor.Check {
	m := make(map[string]monitor.Check)
	for _, c := range all {
		m[c.Name] = c
	}
	return m
}

func TestExamine(t *testing.T) {
	store := openTest(t, nil)
	got := found(store.Examine(t.Context()))
	for name, level := range map[string]monitor.Level{
		"reach": monitor.LevelOK, "durability": monitor.LevelOK, "schema": monitor.LevelOK, "workers": monitor.LevelWarn, "subscriptions": monitor.LevelOK,
		"disk": monitor.LevelOK, "log": monitor.LevelOK,
	} {
		if got[name].Level != level {
			t.Errorf("%s: %+v, want %s", name, got[name], level)
		}
	}
	if f := got["reach"].Files; len(f) != 1 || f[0].Name != filepath.Base(store.config.path) || f[0].Bytes < 4096 || f[0].Free < 0 {
		t.Errorf("the file: %+v", f)
	}
	if f := got["log"].Files; len(f) != 1 || f[0].Name != filepath.Base(store.config.path)+"-wal" {
		t.Errorf("the log: %+v", f)
	}
	subs := []symphony.Subscription{{Type: "order", Subscriber: "ledger", Owner: "shop"}, {Type: "order", Subscriber: "mailer", Owner: "shop"}}
	if err := store.Subscribe(t.Context(), subs); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"update messenger_subscriptions set last_seen = last_seen - 8 * 86400000 where subscriber = 'ledger'",
		"insert into messenger_workers (identity, started_at, alive_until, lease) values ('w', 0, 9000000000000, 30000), ('gone', 0, 1, 30000)",
	} {
		if _, err := store.db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	got = found(store.Examine(t.Context()))
	if s := got["subscriptions"]; s.Level != monitor.LevelWarn || !strings.Contains(s.Text, "order to ledger (shop)") || strings.Contains(s.Text, "mailer") {
		t.Errorf("subscriptions: %+v", s)
	}
	if w := got["workers"]; w.Level != monitor.LevelOK || w.Text != "1 alive" {
		t.Errorf("workers: %+v", w)
	}
}

func TestExamineTrouble(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		dsn, check string
		level      monitor.Level
		prepare    func(path string)
	}{
		"no file":      {"", "reach", monitor.LevelFail, func(string) {}},
		"no database":  {"", "reach", monitor.LevelFail, func(path string) { writeFile(t, path, []byte(strings.Repeat("no database ", 100))) }},
		"not migrated": {"", "schema", monitor.LevelFail, func(path string) { writeFile(t, path, nil) }},
		"normal":       {"?synchronous=normal", "durability", monitor.LevelWarn, func(path string) { writeFile(t, path, nil) }},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		tt.prepare(path)
		store, err := Open(t.Context(), "sqlite://"+path+tt.dsn, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c := found(store.Examine(t.Context()))[tt.check]; c.Level != tt.level {
			t.Errorf("%s: %+v, want %s", name, c, tt.level)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}
