package postgres

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A planNode is what we look at of a node of a plan, as EXPLAIN writes it in JSON.
type planNode struct {
	Type      string      `json:"Node Type"`
	Relation  string      `json:"Relation Name"`
	Index     string      `json:"Index Name"`
	IndexCond string      `json:"Index Cond"`
	Parent    string      `json:"Parent Relationship"`
	Subplan   string      `json:"Subplan Name"`
	Rows      float64     `json:"Actual Rows"`
	Loops     float64     `json:"Actual Loops"`
	Filtered  float64     `json:"Rows Removed by Filter"`
	Rechecked float64     `json:"Rows Removed by Index Recheck"`
	Unjoined  float64     `json:"Rows Removed by Join Filter"`
	Plans     []*planNode `json:"Plans"`
}

// An explained is a statement with its plan, as auto_explain reports it.
type explained struct {
	Query string    `json:"Query Text"`
	Plan  *planNode `json:"Plan"`
}

// A planning is a session whose statements are explained as they run, those inside functions too.
type planning struct {
	store *Transport
	conn  *pgx.Conn
	seen  []explained
	plans map[string][]explained // by statement
}

func newPlanning(t *testing.T, store *Transport, own bool) *planning {
	t.Helper()
	p := &planning{store: store, plans: make(map[string][]explained)}
	config := store.config.conn.Copy()
	if own {
		store.config.prepareSession(config)
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		_, text, ok := strings.Cut(n.Message, "plan:\n")
		var e explained
		if ok {
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				t.Errorf("a plan cannot be read: %v\n%s", err, text)
			}
			p.seen = append(p.seen, e)
		}
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	p.conn = conn
	t.Cleanup(func() { conn.Close(t.Context()) })
	for _, text := range []string{
		"load 'auto_explain'", "set auto_explain.log_min_duration = 0", "set auto_explain.log_nested_statements = on", "set auto_explain.log_analyze = on",
		"set auto_explain.log_timing = off", "set auto_explain.log_format = json", "set client_min_messages = log",
	} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	p.seen = nil
	return p
}

// run runs one statement and keeps its plans and those of what it calls. It returns the rows.
func (p *planning) run(t *testing.T, name, text string, args ...any) [][]any {
	t.Helper()
	p.seen = nil
	rows, err := p.conn.Query(t.Context(), text, args...)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var all [][]any
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, values)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	// A plan is reported when its portal is closed, which is when the next statement begins.
	if _, err := p.conn.Exec(t.Context(), "show geqo", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p.plans[name] = append(p.plans[name], p.seen...)
	return all
}

const planBatch = 500

// play runs all statements of the load once, each with a batch, in a transaction that is rolled back. It returns nothing: see plans.
func (p *planning) play(t *testing.T) {
	t.Helper()
	s := p.store.sql
	if _, err := p.conn.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	floors := make([]int64, 20)
	queues := []string{"default", "other"}
	p.run(t, "look", s.look, queues, floors)
	p.run(t, "behind", s.behind, "default", int64(0), int64(1<<62))
	p.run(t, "counts", s.counts)
	p.run(t, "oldest", s.oldest)
	rows := p.run(t, "claim", s.claim, "w", int64(7), int64(30000), queues, []int32{3 * planBatch, 3 * planBatch}, 3*planBatch, []string{"none"}, floors)
	p.run(t, "claim again", s.claim, "w", int64(8), int64(30000), queues, []int32{10, 10}, 10, []string{"none"}, floors)
	var ids [][16]byte
	var tokens []int64
	var places []pgtype.TID
	for _, r := range rows {
		places, ids, tokens = append(places, r[0].(pgtype.TID)), append(ids, r[2].([16]byte)), append(tokens, 7)
	}
	p.run(t, "renew", s.renew, "w", ids, tokens)
	p.run(t, "orphans", s.orphans, "w", ids, tokens)
	p.run(t, "leave", s.leave, "w")
	p.run(t, "tell", s.tell, "nobody", queues)
	n := min(planBatch, len(ids)/3)
	p.run(t, "done", s.done, ids[:n], tokens[:n], places[:n], []int64{7})
	p.run(t, "done_history", s.doneHistory, ids[n:2*n], tokens[n:2*n], places[n:2*n], []int64{7}, true)
	rest := ids[2*n:]
	if last := len(rest) - 1; last >= 0 { // as Complete does
		p.run(t, "settle one", s.settle, rest[last:], []int64{7}, []string{"completed"}, []int64{0}, []string{""}, []*string{nil}, []*string{nil}, []*string{nil}, []*string{nil}, "full", "")
		rest = rest[:last]
	} else {
		p.run(t, "settle one", s.settle, [][16]byte{{}}, []int64{7}, []string{"completed"}, []int64{0}, []string{""}, []*string{nil}, []*string{nil}, []*string{nil}, []*string{nil}, "full", "")
	}
	outcomes, afters, texts := make([]string, len(rest)), make([]int64, len(rest)), make([]*string, len(rest))
	why := "error"
	for i := range rest {
		outcomes[i] = []string{"completed", "retried", "failed", "released", "cancelled"}[i%5]
		if i%5 == 1 {
			afters[i] = 60000
		}
		if i%5 == 1 || i%5 == 2 {
			texts[i] = &why
		}
	}
	p.run(t, "settle", s.settle, rest, tokens[2*n:2*n+len(rest)], outcomes, afters, make([]string, len(rest)), texts, texts, texts, texts, "full", "")
	envs := make([]*symphony.Envelope, planBatch)
	for i := range envs {
		envs[i] = &symphony.Envelope{ID: symphony.NewID(), Type: "t", Queue: "default", Priority: 5, ContentType: "application/json", Body: []byte("{}")}
	}
	c, err := newColumns(envs)
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, "insert", s.insert, c.plain(0)...)
	for i, env := range envs {
		env.ID, env.Key, env.Group = symphony.NewID(), fmt.Sprint("new", i), fmt.Sprint("g", i%50)
	}
	if c, err = newColumns(envs); err != nil {
		t.Fatal(err)
	}
	p.run(t, "accept", s.accept, c.all(0)...)
	for _, env := range envs { // all duplicates
		env.ID = symphony.NewID()
	}
	if c, err = newColumns(envs); err != nil {
		t.Fatal(err)
	}
	p.run(t, "accept duplicates", s.accept, c.all(0)...)
	p.run(t, "promote", s.in("select symphony.messenger_promote($1)"), 100)
	mustExec(t, p.conn, s.in("select symphony.messenger_promote(20000)")) // while thousands are due, nothing is advanced
	p.run(t, "advance", s.in("select symphony.messenger_advance($1)"), 100)
	p.run(t, "sweep", s.in("select symphony.messenger_sweep('full', '', true)"))
	p.run(t, "expire", s.expire, 100, "full", "")
	p.run(t, "drop_keys", s.dropKeys, 100)
	p.run(t, "fold", s.fold, foldRows)
	id := symphony.NewID()
	if len(ids) > 0 {
		id = ids[0]
	}
	p.run(t, "record_live", s.recordLive, [][16]byte{id})
	p.monitor(t)
	p.run(t, "there", s.there, [][16]byte{id})
	p.run(t, "cancel", s.in("select symphony.messenger_cancel($1, 'full', '')"), [16]byte(c.ids[0]))
	if _, err := p.conn.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
}

// monitor runs what people look and repair with.
func (p *planning) monitor(t *testing.T) {
	t.Helper()
	s := p.store.sql
	search := monitor.Search{Tag: "none"}
	above, below, err := search.Bounds()
	if err != nil {
		t.Fatal(err)
	}
	conditions := p.store.conditions(&search)
	args := slices.Concat([]any{[16]byte(above), [16]byte(below), planBatch}, conditions[:4], []any{50}, conditions[4:])
	p.run(t, "list", s.list, args...)
	p.run(t, "list_oldest", s.listOldest, args...)
	var ids [][16]byte
	for _, r := range p.run(t, "some", s.in("select id from symphony.messenger_messages where token is null order by id limit 100")) {
		ids = append(ids, r[0].([16]byte))
	}
	p.run(t, "lock_live", s.lockLive, ids)
	p.run(t, "reschedule", s.reschedule, ids, time.Now().Add(time.Hour), int64(0))
	p.run(t, "prioritize", s.prioritize, ids, int16(9))
	p.run(t, "mark", s.mark, ids)
	p.run(t, "workers", s.workers, 100)
	p.run(t, "pause", s.pause, "type", "t", "")
	p.run(t, "set_aside", s.setAside, 300, 300)
	p.run(t, "claim nothing", s.claim, "w", int64(9), int64(30000), []string{"default"}, []int32{10}, 10, []string{"none"}, make([]int64, 10))
	p.run(t, "resume", s.resume, "type", "t")
	p.run(t, "bring_back", s.bringBack, 100)
	p.run(t, "letters", s.letters, int64(1<<62), planBatch, nil, 50, "none", nil, nil, nil, nil, nil, nil)
	p.run(t, "failed_groups", s.failedGroups, int64(1<<62), planBatch, nil, nil, nil, nil, nil, nil)
}

// wantIndexes are the indexes of messages and keys by which a statement, with what it calls, must find its rows.
var wantIndexes = map[string][]string{
	"look": {"messenger_messages_due", "messenger_messages_ready"}, "behind": {"messenger_messages_ready"}, "oldest": {"messenger_messages_ready"},
	"claim": {"messenger_messages_ready"}, "claim again": {"messenger_messages_ready"}, "renew": {"messenger_messages_pkey"}, "orphans": {"messenger_messages_locked"}, "leave": {"messenger_messages_locked"},
	"done": {}, "done_history": {}, "settle": {"messenger_messages_pkey"}, "settle one": {"messenger_messages_pkey"}, "insert": {}, "accept": {"messenger_keys_pkey"},
	"accept duplicates": {"messenger_keys_pkey"}, "promote": {"messenger_messages_due"}, "advance": {"messenger_messages_group", "messenger_messages_pkey"},
	"sweep": {"messenger_messages_locked"}, "counts": {"messenger_messages_locked"}, "expire": {"messenger_messages_expiring"}, "drop_keys": {"messenger_keys_expires"}, "fold": {},
	"list": {"messenger_messages_pkey"}, "list_oldest": {"messenger_messages_pkey"}, "lock_live": {"messenger_messages_pkey"},
	"reschedule": {"messenger_messages_pkey"}, "prioritize": {"messenger_messages_pkey"}, "mark": {"messenger_messages_pkey"},
	"set_aside": {"messenger_messages_ready"}, "bring_back": {"messenger_messages_paused"},
	"record_live": {"messenger_messages_pkey"}, "there": {"messenger_messages_pkey"}, "cancel": {"messenger_messages_pkey"},
}

// faults says what is wrong with the plans of a statement: what it may read of messages and keys is a few times the batch.
func faults(name string, plans []explained) (all []string) {
	work := 4.0 * planBatch
	switch name {
	case "sweep", "workers", "counts": // look at all that is leased, now and then
		work = 6000
	case "some", "claim nothing": // not ours; passes over what is paused and not aside yet
		work = 1e9
	}
	used := make(map[string]bool)
	for _, e := range plans {
		var walk func(n *planNode, sorts bool)
		walk = func(n *planNode, sorts bool) {
			big := n.Relation == "messenger_messages" || n.Relation == "messenger_keys"
			line, _, _ := strings.Cut(strings.TrimSpace(e.Query), "\n")
			say := func(what string, args ...any) {
				all = append(all, fmt.Sprintf(what, args...)+fmt.Sprintf(" (in %.70q…)", line))
			}
			switch {
			case big && n.Type == "Seq Scan":
				say("Seq Scan of %s, %.0f rows and %.0f filtered", n.Relation, n.Rows, n.Filtered)
			case big && strings.HasPrefix(n.Type, "Bitmap"):
				say("%s of %s", n.Type, n.Relation)
			}
			if big && n.Type != "ModifyTable" {
				if sorts && n.Loops*n.Rows > work { // what verdicts are about may be put in order
					say("%s of %s below a Sort", n.Type, n.Relation)
				}
				if read := n.Loops * (n.Rows + n.Filtered + n.Rechecked); read > work {
					say("%s of %s %s reads %.0f rows in %.0f rounds (%.0f filtered), at most %.0f are needed", n.Type, n.Relation, n.Index, read, n.Loops, n.Loops*n.Filtered, work)
				}
			}
			if n.Index != "" {
				used[n.Index] = true
			}
			if n.Loops*n.Unjoined > work {
				say("%s compares %.0f pairs in vain", n.Type, n.Loops*n.Unjoined)
			}
			for _, child := range n.Plans {
				inside := sorts && child.Subplan == ""
				walk(child, inside || strings.HasSuffix(n.Type, "Sort") && child.Subplan == "")
			}
		}
		walk(e.Plan, false)
	}
	for _, index := range wantIndexes[name] {
		if !used[index] {
			all = append(all, fmt.Sprintf("index %s is not used, only %v", index, slices.Sorted(maps.Keys(used))))
		}
	}
	slices.Sort(all)
	return slices.CompactFunc(all, func(a, b string) bool { return digits.ReplaceAllString(a, "0") == digits.ReplaceAllString(b, "0") })
}

var digits = regexp.MustCompile(`\d+`)

// fill stores messages without any of our statements: ready, scheduled and leased ones, each ready one with a key, and an expiry in the
// future; nothing is analyzed.
func fill(t *testing.T, store *Transport, ready, scheduled, leased int) {
	t.Helper()
	mustExec(t, store.work, store.sql.in(fmt.Sprintf(`
insert into symphony.messenger_workers (identity, started_at, alive_until, lease) values ('crowd', now(), now() + interval '1 hour', '1 hour');
insert into symphony.messenger_messages (id, created_at, available_at, status, queue_name, message_type, priority, body, expires_at, idempotency_key, token, locked_by, locked_at)
select gen_random_uuid(), now(), now() + case when n > %[1]d and n <= %[1]d + %[2]d then interval '1 hour' else '0' end,
  (case when n <= %[1]d then 'pending' when n <= %[1]d + %[2]d then 'scheduled' else 'processing' end)::symphony.messenger_status,
  case when n %% 4 = 0 then 'other' else 'default' end, 't', 5, '{}', now() + interval '1 day', case when n <= %[1]d then 'key' || n end,
  case when n > %[1]d + %[2]d then 1 end, case when n > %[1]d + %[2]d then (select worker from symphony.messenger_workers where identity = 'crowd') end,
  case when n > %[1]d + %[2]d then now() end
from generate_series(1, %[1]d + %[2]d + %[3]d) n;
insert into symphony.messenger_keys (message_type, subscriber, key, message_id, expires_at, body_hash, live)
select 't', '', 'key' || n, gen_random_uuid(), now() + interval '1 day', '', n %% 2 = 0 from generate_series(1, %[1]d) n;
insert into symphony.messenger_stats (queue_name, message_type, due) values ('default', 't', 1), ('other', 't', 1)`, ready, scheduled, leased)))
}

// planStates are what the statistics may say, and what is there.
var planStates = []struct {
	name    string
	prepare func(t *testing.T, store *Transport, open func() *planning) *planning
}{
	{"analyzed while empty, plans kept", func(t *testing.T, store *Transport, open func() *planning) *planning {
		analyze(t, store)
		p := open()
		for range 6 { // the plans are made now, generic ones at last, and used when there is something
			p.play(t)
		}
		fill(t, store, 20000, 20000, 5000)
		clear(p.plans)
		return p
	}},
	{"never analyzed, plans kept", func(t *testing.T, store *Transport, open func() *planning) *planning {
		p := open()
		for range 6 {
			p.play(t)
		}
		fill(t, store, 20000, 20000, 5000)
		clear(p.plans)
		return p
	}},
	{"analyzed while empty, planned when full", func(t *testing.T, store *Transport, open func() *planning) *planning {
		analyze(t, store)
		fill(t, store, 20000, 20000, 5000)
		return open()
	}},
	{"analyzed with nothing leased", func(t *testing.T, store *Transport, open func() *planning) *planning {
		fill(t, store, 20000, 0, 0)
		analyze(t, store)
		return open()
	}},
	{"analyzed with all states", func(t *testing.T, store *Transport, open func() *planning) *planning {
		fill(t, store, 20000, 20000, 5000)
		analyze(t, store)
		return open()
	}},
}

func analyze(t *testing.T, store *Transport) {
	t.Helper()
	tables := strings.TrimPrefix(store.vacuumText(), "vacuum (truncate off, skip_locked on) ")
	mustExec(t, store.work, "analyze "+tables)
}

// still keeps autovacuum from changing the statistics of a test.
func still(t *testing.T) *Transport {
	t.Helper()
	store := openTest(t, nil)
	for _, table := range hot {
		mustExec(t, store.work, store.sql.in("alter table symphony."+table+" set (autovacuum_enabled = off)"))
	}
	return store
}

// TestPlans runs the statements of the load with generic plans in sessions like ours, whatever the statistics say, and looks at how they
// find messages and keys: by the indexes meant for them, once, without a sort, and without walking over what does not concern them.
func TestPlans(t *testing.T) {
	for _, state := range planStates {
		t.Run(state.name, func(t *testing.T) {
			store := still(t)
			p := state.prepare(t, store, func() *planning { return newPlanning(t, store, true) })
			p.play(t)
			for _, name := range slices.Sorted(maps.Keys(p.plans)) {
				if len(p.plans[name]) == 0 {
					t.Errorf("%s: no plan was reported", name)
				}
				for _, fault := range faults(name, p.plans[name]) {
					t.Errorf("%s: %s", name, fault)
				}
			}
			for name := range wantIndexes {
				if len(p.plans[name]) == 0 {
					t.Errorf("%s was not run", name)
				}
			}
		})
	}
}

// TestPlansOfCallers runs what also runs in the caller's transactions, whose sessions have the settings of the server. A difference is
// only reported: it is what the defaults of the planner make of it.
func TestPlansOfCallers(t *testing.T) {
	for _, state := range planStates {
		t.Run(state.name, func(t *testing.T) {
			store := still(t)
			p := state.prepare(t, store, func() *planning { return newPlanning(t, store, false) })
			p.play(t)
			for _, name := range []string{"insert", "accept", "accept duplicates", "settle", "settle one"} {
				if len(p.plans[name]) == 0 {
					t.Errorf("%s: no plan was reported", name)
				}
				for _, fault := range faults(name, p.plans[name]) {
					t.Logf("only reported: %s: %s", name, fault)
				}
			}
		})
	}
}
