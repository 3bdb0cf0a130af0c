package postgres

import (
	"io/fs"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/internal/search"
	"github.com/symphony-messenger/symphony/monitor"
)

// withOptions adds options to a DSN that may have some.
func withOptions(dsn, options string) string {
	if strings.Contains(dsn, "?") {
		return dsn + "&" + options
	}
	return dsn + "?" + options
}

// quotedSchema returns a transport whose schema has a name that needs quotes.
func quotedSchema(t *testing.T) *Transport {
	t.Helper()
	return openDSN(t, withOptions(pgtest.Database(t), "schema=order"), nil)
}

// TestQueriesPrepare prepares every statement file on the migrated schema, so that a misspelt column is found here and not by the one
// user who takes that path.
func TestQueriesPrepare(t *testing.T) {
	files, err := fs.Glob(queryFiles, "query/*.sql")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	for _, c := range []struct {
		name string
		open func(t *testing.T) *Transport
	}{
		{"plain", func(t *testing.T) *Transport { return openTest(t, nil) }},
		{"quoted", quotedSchema},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := c.open(t)
			conn, err := store.work.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
			for _, file := range files {
				text, err := fs.ReadFile(queryFiles, file)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Conn().Prepare(t.Context(), file, store.sql.in(string(text))); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		})
	}
}

// qualified are names in our schema.
var qualified = regexp.MustCompile(`\bsymphony\.([a-z%])`)

// TestSchemaOfTexts: names get the schema, whatever it is called, and nothing else does.
func TestSchemaOfTexts(t *testing.T) {
	d := &dialect{schema: `a"$1`}
	for text, want := range map[string]string{
		"":                               "",
		"symphony.a":                     `"a""$1".a`,
		"from symphony.a, (symphony.b)":  `from "a""$1".a, ("a""$1".b)`,
		"format('symphony.%I')":          `format('"a""$1".%I')`,
		"of symphony. It is symphony.\n": "of symphony. It is symphony.\n",
		"asymphony.a _symphony.a 1symphony.a Zsymphony.a": "asymphony.a _symphony.a 1symphony.a Zsymphony.a",
		"symphony.A symphony._a symphony":                 "symphony.A symphony._a symphony",
		"ü symphony.a üsymphony.a":                        `ü "a""$1".a ü"a""$1".a`,
	} {
		if got := d.in(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if got := qualified.ReplaceAllString(text, `"a""$$1".$1`); got != want {
			t.Errorf("%q: the pattern of these tests makes it %q, want %q", text, got, want)
		}
	}
}

// TestEveryQueryIsUsed: a file that no field of the dialect has is dead, and a field without a file would be an empty statement.
func TestEveryQueryIsUsed(t *testing.T) {
	d, err := newDialect("order")
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]string)
	v := reflect.ValueOf(*d)
	for i := range v.NumField() {
		name, text := v.Type().Field(i).Name, v.Field(i).String()
		if name == "schema" || name == "release" {
			continue
		}
		if text == "" {
			t.Errorf("field %s has no statement", name)
		}
		if other := used[text]; other != "" {
			t.Errorf("fields %s and %s have the same statement", name, other)
		}
		used[text] = name
	}
	files, err := fs.Glob(queryFiles, "query/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(queryFiles, file)
		if err != nil {
			t.Fatal(err)
		}
		if used[d.in(string(text))] == "" {
			t.Errorf("%s is used by no field of the dialect", file)
		}
		delete(used, d.in(string(text)))
		if qualified.MatchString(d.in(string(text))) {
			t.Errorf("%s keeps names of the schema symphony", file)
		}
		if n := strings.Count(strings.TrimSpace(string(text)), ";\n"); n > 0 {
			t.Errorf("%s has more than one statement", file)
		}
	}
	delete(used, search.Oldest(d.list))
	if len(used) > 0 {
		t.Errorf("fields whose statements stand in no file: %v", used)
	}
}

// TestQuotedSchemaWorks takes every path once that has SQL of its own in Go, under a name that is a keyword.
func TestQuotedSchemaWorks(t *testing.T) {
	store := quotedSchema(t)
	ctx := t.Context()
	listening(t, store)
	env := func(change func(*symphony.Envelope)) *symphony.Envelope {
		e := &symphony.Envelope{ID: symphony.NewID(), Type: "q", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte(`{}`)}
		change(e)
		return e
	}
	cancelled := env(func(e *symphony.Envelope) { e.Key, e.Window = "k", time.Hour })
	envs := []*symphony.Envelope{
		env(func(*symphony.Envelope) {}), cancelled, env(func(e *symphony.Envelope) { e.Group = "g" }), env(func(e *symphony.Envelope) { e.Delay = time.Millisecond }),
	}
	if _, err := store.Send(ctx, envs); err != nil {
		t.Fatal(err)
	}
	if r, err := store.Cancel(ctx, cancelled.ID); err != nil || r.Status != monitor.Cancelled {
		t.Fatal(r.Status, err)
	}
	left := 3
	for left > 0 {
		ds, err := store.Receive(ctx, symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 10, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range ds {
			v := symphony.Verdict{Token: d.Token, Outcome: symphony.Failed, Reason: symphony.ReasonPermanent, Failure: &symphony.Failure{Error: "no", Class: "error"}}
			if i > 0 {
				v = symphony.Verdict{Token: d.Token, Outcome: symphony.Completed}
			}
			if err := store.Settle(ctx, []symphony.Verdict{v}); err != nil {
				t.Fatal(err)
			}
			left--
		}
	}
	if _, err := store.Maintain(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := store.upkeep.Exec(ctx, store.vacuumText(), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	failed, err := store.Failed(ctx, monitor.Filter{})
	if err != nil || len(failed.Records) == 0 {
		t.Fatal(failed, err)
	}
	if answers, err := store.RetryFailed(ctx, []symphony.ID{failed.Records[0].ID}); err != nil || answers[0] != nil {
		t.Fatal(answers, err)
	}
	var schemas []string
	rows, err := store.work.Query(ctx, "select nspname from pg_catalog.pg_namespace where nspname !~ '^(pg_|information_schema)' order by 1")
	if err != nil {
		t.Fatal(err)
	}
	if schemas, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"order", "public"}, schemas); diff != "" {
		t.Error("schemas of the database:", diff)
	}
	heard := hearWake(store)
	if _, err := store.work.Exec(ctx, `select "order".wake('default')`); err != nil {
		t.Fatal(err)
	}
	heard(t)
}

// listening lets a store listen that did not do so before.
func listening(t *testing.T, store *Transport) {
	t.Helper()
	begun := store.wake.Wait()
	store.service.start()
	select { // it wakes those who wait when it begins to listen
	case <-begun:
	case <-time.After(longest):
		t.Fatalf("the transport does not listen within %v", longest)
	}
}

// hearWake returns a function that waits until store has been told of something since.
func hearWake(store *Transport) func(t *testing.T) {
	woken := store.wake.Wait()
	return func(t *testing.T) {
		t.Helper()
		select {
		case <-woken:
		case <-time.After(longest):
			t.Errorf("the transport was not told of the wake-up within %v", longest)
		}
	}
}
