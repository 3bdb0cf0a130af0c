package postgres

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/monitor"
)

// withoutTimes is a record without what differs from one dispatch to the next.
func withoutTimes(r monitor.Record) monitor.Record {
	if d := r.AvailableAt.Sub(r.CreatedAt); d != 0 && r.ScheduledAt.Equal(r.AvailableAt) && d < 400*24*time.Hour {
		r.ScheduledAt = time.Time{} // a delay, to the millisecond
		r.AvailableAt = time.UnixMicro(0).Add(d)
	} else if d == 0 {
		r.AvailableAt = time.Time{}
	}
	if !r.ExpiresAt.IsZero() {
		r.ExpiresAt = time.UnixMicro(0).Add(r.ExpiresAt.Sub(r.CreatedAt))
	}
	r.ID, r.CreatedAt = symphony.ID{}, time.Time{}
	return r
}

const big = 256 << 10

// eats wants something that nobody can do with a key that is taken.
func eats(action symphony.KeyAction) symphony.Stamp {
	return func(e *symphony.Envelope) error { e.WhenTaken = action; return nil }
}

// sqlCases are what both ways must accept or refuse, and store alike.
func sqlCases() map[string][]wished {
	opt := func(os ...wish) wished { return wished{options: os} }
	rep := strings.Repeat
	many := func(n int) map[string]string {
		h := make(map[string]string)
		for i := range n {
			h[fmt.Sprintf("h%d", i)] = "v"
		}
		return h
	}
	wide := map[string]string{"a0": rep("v", 4094), "a1": rep("v", 4094), "a2": rep("v", 4094), "a3": rep("v", 4094)} // 16 KiB
	wider := maps.Clone(wide)
	wider["a3"] += "v"
	one := func(name, value string) wished { return opt(wishHeaders(map[string]string{name: value})) }
	year := func(y int, plus time.Duration) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).Add(plus) }
	names := func(names ...string) (all []wished) {
		for _, n := range names {
			all = append(all, wished{typ: n})
		}
		return all
	}
	taken := func(os ...wish) wished { return wished{typ: "taken", options: os} }
	replace, debounce := symphony.Replace("k", 24*time.Hour), symphony.Debounce("d", 0)
	return map[string][]wished{
		"types": names("a", "A", "9", "order.paid", `a_b.c:d/e-f`, rep("a", 128), rep("a", 129), " a", "a ", "a b", "a\n", "\na", "_a", ".a", "-a", ":a", "/a", "ä", "aä", "a\u0131",
			"a'b", `a"b`, `a\b`, "a,b", "日本"),
		"queues": {
			opt(wishInQueue("a")), opt(wishInQueue("0a_.-")), opt(wishInQueue(rep("q", 63))), opt(wishInQueue(rep("q", 64))), opt(wishInQueue("")), opt(wishInQueue("A")), opt(wishInQueue("aB")),
			opt(wishInQueue("_a")), opt(wishInQueue(".a")), opt(wishInQueue("a b")), opt(wishInQueue("a/b")), opt(wishInQueue("ä")), opt(wishInQueue("aä")), opt(wishInQueue("a\n")), opt(wishInQueue("a:b")),
		},
		"priority":    {opt(wishPrio(0)), opt(wishPrio(1)), opt(wishPrio(10)), opt(wishPrio(11)), opt(wishPrio(-1)), opt(wishPrio(65537)), opt(wishPrio(math.MaxInt32))},
		"delay":       {opt(wishDelay(0)), opt(wishDelay(1)), opt(wishDelay(1500 * time.Microsecond)), opt(wishDelay(time.Hour)), opt(wishDelay(-time.Second)), opt(wishDelay(300 * 24 * time.Hour))},
		"expires":     {opt(wishExpires(0)), opt(wishExpires(1)), opt(wishExpires(1500 * time.Microsecond)), opt(wishExpires(time.Hour)), opt(wishExpires(-time.Second))},
		"max retries": {opt(wishRetries(0)), opt(wishRetries(3)), opt(wishRetries(-1)), opt(wishRetries(math.MaxInt32)), opt(wishRetries(math.MaxInt64))},
		"at": {
			opt(wishAt(year(2020, 0))), opt(wishAt(year(2400, 0))), opt(wishAt(year(1970, 0))), opt(wishAt(year(1970, -time.Microsecond))), opt(wishAt(year(1969, 0))), opt(wishAt(year(10000, -time.Millisecond))),
			opt(wishAt(year(10000, 0))),
		},
		"keys and groups": {
			opt(wishKey("")), opt(wishKey("k")), opt(wishKey(rep("k", 255))), opt(wishKey(rep("k", 256))), opt(wishKey(rep("ä", 127))), opt(wishKey(rep("ä", 128))), opt(wishKey("a\nb")), opt(wishKey(" ")),
			opt(wishGroup("")), opt(wishGroup("g")), opt(wishGroup(rep("g", 255))), opt(wishGroup(rep("g", 256))), opt(wishGroup(rep("🎉", 63))), opt(wishGroup(rep("🎉", 64))), opt(wishGroup("a\tb")),
			opt(wishKey("both"), wishGroup("both")),
		},
		"keys that are taken": {
			taken(wishKey("k"), wishTaken("keep")), taken(wishKey("k"), wishPrio(9)), taken(wishKey("k"), wishTaken("keep"), wishPrio(9)),
			taken(wishKey("k"), wishTaken("replace", replace), wishPrio(2), wishRetries(7), wishTags("x"), wishHeaders(map[string]string{"a": "b"}), wishInQueue("other"), wishDelay(time.Hour), wishGroup("g")),
			taken(wishKey("k"), wishTaken("replace", replace)),
			{typ: "taken", body: "\xff", content: "a/b", options: []wish{wishKey("k"), wishTaken("replace", replace)}},
			{typ: "taken", body: rep("x", big+1), content: "a/b", options: []wish{wishKey("k"), wishTaken("replace", replace)}},
			taken(wishKey("k"), wishTaken("replace", replace), wishTags("")),
			taken(wishKey("new"), wishTaken("replace", symphony.Replace("new", 24*time.Hour)), wishDelay(time.Hour)),
			taken(wishKey("d"), wishTaken("debounce", debounce), wishAt(year(2400, 0))), taken(wishKey("d"), wishTaken("debounce", debounce), wishAt(year(2401, 0)), wishPrio(3)),
			taken(wishKey("d"), wishTaken("replace", symphony.Replace("d", 0)), wishAt(year(2402, 0))), taken(wishKey("d"), wishTaken("debounce", debounce), wishAt(year(2403, 0))),
			taken(wishKey("e"), wishTaken("debounce", symphony.Debounce("e", time.Hour)), wishDelay(time.Hour)), taken(wishKey("e"), wishTaken("debounce", symphony.Debounce("e", 0)), wishDelay(-time.Hour)),
			taken(wishKey(""), wishTaken("replace", symphony.Replace("", 0))), taken(wishKey(""), wishTaken("debounce", symphony.Debounce("", 0))),
			taken(wishKey("k"), wishTaken("eat", eats("eat"))), taken(wishKey("k"), wishTaken("REPLACE", eats("REPLACE"))),
		},
		"headers": {
			one("a", ""), one("a-b", "x"), one("0", "x"), one(rep("a", 64), "x"), one(rep("a", 65), "x"), one("", "x"), one("A", "x"), one("aB", "x"), one("-a", "x"), one("a_b", "x"), one("a.b", "x"),
			one("ä", "x"), one("a\n", "x"), one("symphony-x", "x"), one("symphony-correlation-id", "x"), one("webhook-x", "x"), one("ce-x", "x"), one("a", `\u0000`), one("ce", "x"), one("cex", "x"), one("symphony", "x"),
			one("a", "ünïcödé 🎉"), one("a", "a\nb"), one("a", "a\tb"), one("a", "\x01"), one("a", "\x1f"), one("a", "\x7f"), one("a", "\u0080"), one("a", "\u009f"), one("a", "\u00a0"), one("a", "\u2028"),
			one("a", rep("v", 4096)), one("a", rep("v", 4097)), one("a", rep("ä", 2048)), one("a", rep("ä", 2049)), one("a", `'"\{}`),
			opt(wishHeaders(many(64))), opt(wishHeaders(many(65))), opt(wishHeaders(wide)), opt(wishHeaders(wider)), opt(wishHeaders(map[string]string{})),
		},
		"tags": {
			opt(wishTags()), opt(wishTags("a")), opt(wishTags(rep("t", 64))), opt(wishTags(rep("t", 65))), opt(wishTags(rep("ä", 32))), opt(wishTags(rep("ä", 33))), opt(wishTags("")), opt(wishTags("a", "")), opt(wishTags("a\nb")), opt(wishTags("\u0085")),
			opt(wishTags(strings.Fields(rep("t ", 16))...)), opt(wishTags(strings.Fields(rep("t ", 17))...)), opt(wishTags("NULL", "null", `"`, `\`, "{a,b}", ",", " ", "'")),
		},
		"bodies": {
			{body: `{"a":"` + rep("x", big-8) + `"}`},
			{body: `{"a":"` + rep("x", big-7) + `"}`},
			{body: rep("x", big), content: "a/b"},
			{body: rep("x", big+1), content: "a/b"},
			{body: ` { "b" : 1.0 , "a" : [ ] , "b" : 1e2 } `},
			{body: `{"a":"\u0000"}`},
			{body: "{\"a\":\"\xff\"}"},
			{body: "1"},
			{body: "null"},
			{body: `"x"`},
			{body: `"\u00e4ä🎉"`},
			{body: "\t[\n]\r\n"},
			{body: "1.0"},
			{body: "1e999"},
			{body: "-0"},
			{body: "12345678901234567890123456789.0123456789"},
			{body: " "},
			{body: "{"},
			{body: "{}x"},
			{body: "nul"},
			{body: "01"},
			{body: "[1,]"},
			{body: "{'a':1}"},
			{body: "NaN"},
			{body: "\"a\nb\""},
			{body: `"\x"`},
			{body: `"\ud83c\udf89"`},
			{body: `"\ud83c"`},
			{body: rep("[", 3000) + rep("]", 3000)},
			{body: "\x00\xff", content: "application/octet-stream"},
			{body: "\xff", content: "text/plain; charset=utf-8"},
			{body: "x", content: rep("c", 255)},
			{body: "x", content: rep("c", 256)},
			{body: "x", content: "a\nb"},
			{body: "x", content: "ä"},
			{body: "x", content: "Application/JSON"},
		},
		"times finer than a millisecond": {opt(wishAt(year(2400, 1500*time.Microsecond))), opt(wishAt(year(2400, time.Microsecond)))},
		"JSON by dispatch_bytes": {
			{body: "{}", content: "application/json", bytes: true}, {body: "{", content: "application/json", bytes: true}, {body: "\xff\x00", content: "application/json", bytes: true},
		},
		"together": {opt(wishPrio(9), wishDelay(time.Minute), wishExpires(time.Hour), wishRetries(2), wishKey("t"), wishGroup("t"), wishHeaders(map[string]string{"a": "b"}), wishTags("x", "y"), wishInQueue("other"))},
	}
}

// TestGoAndSQLAgree sends everything both ways, each into a schema of its own: both accept it and store the same, or both refuse it.
func TestGoAndSQLAgree(t *testing.T) {
	t.Parallel()
	c := withRoles(t, pgtest.DSN(t))
	goAndSQLAgree(t, openTest(t, nil), c.owner, c.as(t, "enqueue")) // who may only send
}

// goAndSQLAgree sends to inGo in Go and to inSQL by way of conn.
func goAndSQLAgree(t *testing.T, inGo, inSQL *Transport, conn *pgx.Conn) {
	cases := sqlCases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			for i, m := range cases[name] {
				if m.typ == "" {
					m.typ = "order"
				}
				if m.body == "" {
					m.body = "{}"
				}
				what := fmt.Sprintf("number %d (%.40q, %.60q %.20q", i, m.typ, m.body, m.content)
				for _, o := range m.options {
					what += fmt.Sprintf(", %s %.60q", o.name, fmt.Sprint(o.value))
				}
				r, goErr := m.inGo(t.Context(), inGo)
				q, sqlErr := m.inSQL(t.Context(), inSQL, conn)
				if (goErr == nil) != (sqlErr == nil) {
					t.Errorf("%s): Go says %.200v, SQL says %.200v", what, goErr, sqlErr)
					continue
				}
				if goErr != nil {
					_, invalid := errors.AsType[*symphony.InvalidError](goErr)
					if !invalid && !errors.Is(goErr, symphony.ErrTooLarge) || !strings.HasPrefix(codeOf(sqlErr), "22") {
						t.Errorf("%s): refused for another reason: Go says %.200v, SQL says %.200v", what, goErr, sqlErr)
					}
					continue
				}
				a, b := withoutTimes(statusOf(t, inGo, r.ID)), withoutTimes(statusOf(t, inSQL, q.ID))
				if diff := cmp.Diff(a, b); diff != "" || (r.Duplicate || q.Duplicate) && m.typ != "taken" {
					t.Errorf("%s): stored as (- Go, + SQL) %.800s", what, diff)
				}
				if r.Duplicate != q.Duplicate || r.Replaced != q.Replaced {
					t.Errorf("%s): the receipt in Go is %+v, in SQL %+v", what, r, q)
				}
				if string(b.Body) != m.body && (!q.Duplicate || q.Replaced) {
					t.Errorf("%s): the body was changed", what)
				}
			}
		})
	}
	compareCounts(t, inGo, inSQL)
}

func compareCounts(t *testing.T, a, b *Transport) {
	t.Helper()
	if t.Failed() {
		return // it would only be said twice
	}
	for _, store := range []*Transport{a, b} { // what has become due meanwhile
		if _, err := store.promote(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	one, err1 := a.Counts(t.Context())
	other, err2 := b.Counts(t.Context())
	if diff := cmp.Diff(one.Counts, other.Counts); diff != "" || err1 != nil || err2 != nil {
		t.Error("counts (- Go, + SQL):", diff, err1, err2)
	}
}

// TestSQLRefuses: what Go cannot even say.
func TestSQLRefuses(t *testing.T) {
	store := openTest(t, nil)
	for args, want := range map[string]string{
		"null, '{}'": "message type", "'a', null": "body", "'a', '{}', at => 'infinity'": "time", "'a', '{}', at => '-infinity'": "time", "'a', '{}', at => '0044-03-15 BC'": "time",
		"'a', '{}', delay => '300 years'": "delay", "'a', '{}', expires => '300 years'": "expiry", "'a', '{}', idempotency_key => 'k', key_window => '300 years'": "window",
		"'a', '{}', idempotency_key => 'k', key_window => '-1 s'": "window", "'a', '{}', headers => '[]'": "headers", "'a', '{}', headers => '\"x\"'": "headers", "'a', '{}', headers => 'null'": "headers",
		"'a', '{}', headers => '{\"a\":1}'": "header a", "'a', '{}', headers => '{\"a\":null}'": "header a", "'a', '{}', headers => '{\"a\":{}}'": "header a", "'a', '{}', tags => array['a', null]": "tag",
		"'a', '{}', delay => '1 month -40 days'": "delay", "'a', '{}', when_taken => 'replace'": "idempotency key", "'a', '{}', when_taken => '', idempotency_key => 'k'": "when_taken",
	} {
		_, err := store.Pool().Exec(t.Context(), store.sql.in("select symphony.dispatch("+args+")"))
		if err == nil || !strings.Contains(err.Error(), want) || codeOf(err) != "22023" {
			t.Errorf("dispatch(%s): %v; want an error about the %s", args, err, want)
		}
	}
	for _, args := range []string{
		"'a'", "'a', '{}', queue => null, priority => null, delay => null, at => null, expires => null, max_retries => null, idempotency_key => null, key_window => null, when_taken => null, group_key => null, headers => null, tags => null, wake => null",
		"'a', 'null'", "'a', '{}', tags => '{}', headers => '{}'", "'a', '{}', tags => '[0:1]={a,b}'",
		"'a', '{}', tags => array[['a', 'b'], ['c', 'd']]",
	} {
		if _, err := store.Pool().Exec(t.Context(), store.sql.in("select symphony.dispatch("+args+")")); err != nil {
			t.Errorf("dispatch(%s): %v", args, err)
		}
	}
	ds, err := store.tryReceive(t.Context(), symphony.Claim{Worker: "w", Queues: []symphony.QueueClaim{{Name: "default"}}, Max: 100, Lease: time.Minute})
	if err != nil || len(ds) != 6 {
		t.Errorf("what SQL has stored cannot be claimed: %d messages, %v", len(ds), err)
	}
}

// TestFanOutAlike: subscriptions with stamps of all kinds; every copy is the same both ways, and has the id that Go computes.
func TestFanOutAlike(t *testing.T) {
	inGo, c := openTest(t, nil), withRoles(t, pgtest.DSN(t))
	inSQL, conn := c.owner, c.as(t, "enqueue")
	zero, four := 0, 4
	subs := []symphony.Subscription{
		{Type: "event", Queue: "ignored", Priority: 1}, // the handler of the type: what it says is not for its copies
		{Type: "event", Subscriber: "a_b"},
		{Type: "event", Subscriber: "a-b", Queue: "audit", Priority: 9, Delay: 90*time.Second + 1, Expires: time.Hour + 1, MaxRetries: &zero, Group: "sub", Headers: map[string]string{"h": "sub", "own": "é"}, Tags: []string{"sub", `"`}},
		{Type: "event", Subscriber: "ab", MaxRetries: &four},
		{Type: "event", Subscriber: "a.b", Headers: map[string]string{"h": "over"}},
		{Type: "nobody.handles", Subscriber: "z", Tags: []string{"t"}},
	}
	for _, store := range []*Transport{inGo, inSQL} {
		if err := store.Subscribe(t.Context(), subs); err != nil {
			t.Fatal(err)
		}
	}
	subscribers := map[string][]string{"event": {"a-b", "a.b", "a_b", "ab"}, "nobody.handles": {"z"}}
	for _, m := range []wished{
		{typ: "event", body: "{}"},
		{typ: "event", body: "{}", options: []wish{wishHeaders(map[string]string{"h": "call", "x": "y"}), wishTags("call"), wishPrio(2), wishExpires(time.Minute), wishRetries(7), wishGroup("call"), wishInQueue("call")}},
		{typ: "event", body: "{}", options: []wish{wishAt(time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC))}},
		{typ: "event", body: "{}", options: []wish{wishDelay(time.Minute), wishKey("k")}},
		{typ: "nobody.handles", body: "{}", options: []wish{wishKey("k")}},
	} {
		g, err1 := m.inGo(t.Context(), inGo)
		s, err2 := m.inSQL(t.Context(), inSQL, conn)
		if err1 != nil || err2 != nil || len(g.Copies) != len(subscribers[m.typ]) || len(s.Copies) != len(g.Copies) {
			t.Fatal(g, s, err1, err2)
		}
		for i, name := range subscribers[m.typ] {
			a, b := statusOf(t, inGo, g.Copies[i]), statusOf(t, inSQL, s.Copies[i])
			if diff := cmp.Diff(withoutTimes(a), withoutTimes(b)); diff != "" || b.Subscriber != name {
				t.Errorf("%s: copy of %q, want that of %s (- Go, + SQL): %s", m.typ, b.Subscriber, name, diff)
			}
			if m.typ == "event" && s.Copies[i] != s.ID.For(name) {
				t.Errorf("the copy of %s has the id %s, want %s", name, s.Copies[i], s.ID.For(name))
			}
		}
		if m.typ == "event" {
			if diff := cmp.Diff(withoutTimes(statusOf(t, inGo, g.ID)), withoutTimes(statusOf(t, inSQL, s.ID))); diff != "" {
				t.Errorf("the handler's own (- Go, + SQL): %s", diff)
			}
		} else if s.ID != s.Copies[0] || g.ID != g.Copies[0] {
			t.Errorf("ids of the receipts: %+v, %+v", g, s)
		}
		again1, err1 := m.inGo(t.Context(), inGo)
		again2, err2 := m.inSQL(t.Context(), inSQL, conn)
		if err1 != nil || err2 != nil || again1.Duplicate != again2.Duplicate {
			t.Errorf("%+v, %+v, %v, %v", again1, again2, err1, err2)
		}
		if again2.Duplicate {
			if diff := cmp.Diff(s.Copies, again2.Copies); diff != "" || again2.ID != s.ID {
				t.Error("the receipt of the duplicate in SQL:", diff)
			}
			if diff := cmp.Diff(g.Copies, again1.Copies); diff != "" || again1.ID != g.ID {
				t.Error("the receipt of the duplicate in Go:", diff)
			}
		}
	}
	// A subscriber that is new gets its copy although the others' keys are taken: that is no duplicate.
	late := []symphony.Subscription{{Type: "event", Subscriber: "late"}}
	m := wished{typ: "event", body: "{}", options: []wish{wishDelay(time.Minute), wishKey("k")}}
	for _, store := range []*Transport{inGo, inSQL} {
		if err := store.Subscribe(t.Context(), late); err != nil {
			t.Fatal(err)
		}
	}
	g, err1 := m.inGo(t.Context(), inGo)
	q, err2 := m.inSQL(t.Context(), inSQL, conn)
	for _, r := range []symphony.Receipt{g, q} {
		if err1 != nil || err2 != nil || r.Duplicate || len(r.Copies) != 5 {
			t.Errorf("a subscriber that came later: %+v, %v, %v", r, err1, err2)
		}
	}
	compareCounts(t, inGo, inSQL)
}
