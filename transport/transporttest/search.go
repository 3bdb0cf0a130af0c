package transporttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func searchTests() []test {
	return []test{
		{
			"search/conditions", "A Search chooses messages in any state; the fields that are set must all match. (Search)",
			searching | delays | cancels, searchConditions,
		},
		{
			"search/pages", "The latest first, or the oldest; the cursor goes on. (Lister)",
			searching, searchPages,
		},
		{
			"search/bounded", "One call reads SearchRows rows at most. (Lister)",
			searching, searchBounded,
		},
		{
			"search/bodies", "A BodyIs compares one value in a body that is JSON; one that is no JSON does not match. (BodyIs)",
			searching, searchBodies,
		},
		{
			"search/nonsense", "Messages returns an *InvalidError for a search that makes no sense. (Lister)",
			searching, searchNonsense,
		},
		{
			"failed groups/alike", "Dead letters that failed alike have one fingerprint; the largest group first. (Grouper)",
			grouping | deadLetters, failedGroupsAlike,
		},
	}
}

func (k *kit) search(s monitor.Search) (ids []symphony.ID) {
	k.Helper()
	err := monitor.All(k.ctx, power1[monitor.Lister](k), s, func(p monitor.Page) error {
		for i := range p.Records {
			if r := &p.Records[i]; !s.Matches(r) {
				k.Errorf("the search %+v has found %+v", s, r)
			}
			ids = append(ids, p.Records[i].ID)
		}
		return nil
	})
	if err != nil {
		k.Fatalf("Messages: %v", err)
	}
	return ids
}

func searchConditions(k *kit) {
	first := message()
	failed := message(func(e *symphony.Envelope) { e.Tags = []string{"vip", "é"} })
	completed := message(func(e *symphony.Envelope) {
		e.Headers = map[string]string{symphony.HeaderCorrelation: first.ID.String(), symphony.HeaderCausation: first.ID.String()}
	})
	retried := message(func(e *symphony.Envelope) { e.Subscriber = "audit" })
	k.send(failed, completed, retried)
	ds := k.takeOnly("w", failed, completed, retried)
	bad := verdict(ds[0], symphony.Failed)
	bad.Failure = &symphony.Failure{Error: "Mailbox full: 100 %", Class: "suite.Full"}
	k.settle(bad, done(ds[1]), after(verdict(ds[2], symphony.Retried), time.Hour))
	middle := k.find(retried).CreatedAt
	k.Advance(time.Minute)
	pending := message(on("side"), func(e *symphony.Envelope) { e.Type = "suite.Other" })
	scheduled, cancelled, processing := message(delayed(time.Hour)), message(on("side")), message()
	k.send(pending, scheduled, cancelled, processing, first)
	k.cancel(cancelled, monitor.Cancelled)
	k.take("w") // processing
	names := map[symphony.ID]string{
		first.ID: "first", failed.ID: "failed", completed.ID: "completed", retried.ID: "retried", pending.ID: "pending",
		scheduled.ID: "scheduled", cancelled.ID: "cancelled", processing.ID: "processing",
	}
	print := bad.Failure.Fingerprint(typ)
	for _, c := range []struct {
		name   string
		search monitor.Search
		want   string
	}{
		{"all", monitor.Search{}, "cancelled completed failed first pending processing retried scheduled"},
		{"pending", monitor.Search{Statuses: []monitor.Status{monitor.Pending}}, "first pending"},
		{"two states", monitor.Search{Statuses: []monitor.Status{monitor.Scheduled, monitor.Completed}}, "completed retried scheduled"},
		{"processing", monitor.Search{Statuses: []monitor.Status{monitor.Processing}}, "processing"},
		{"queue", monitor.Search{Queue: "side"}, "cancelled pending"},
		{"type", monitor.Search{Type: "suite.Other"}, "pending"},
		{"subscriber", monitor.Search{Subscriber: "audit"}, "retried"},
		{"tag", monitor.Search{Tag: "é"}, "failed"},
		{"part of a tag", monitor.Search{Tag: "vi"}, ""},
		{"error", monitor.Search{Error: "FULL: 100 %"}, "failed"},
		{"error of a retry", monitor.Search{Error: "no such"}, "retried"},
		{"no pattern", monitor.Search{Error: "%"}, "failed"},
		{"class", monitor.Search{Class: "suite.Full"}, "failed"},
		{"reason", monitor.Search{Reason: symphony.ReasonPermanent}, "failed"},
		{"fingerprint", monitor.Search{Fingerprint: print}, "failed"},
		{"reason of no dead letter", monitor.Search{Reason: symphony.ReasonPermanent, Statuses: []monitor.Status{monitor.Pending}}, ""},
		{"conversation", monitor.Search{Conversation: first.ID}, "completed first"},
		{"since", monitor.Search{Since: middle.Add(time.Second)}, "cancelled first pending processing scheduled"},
		{"until", monitor.Search{Until: middle.Add(time.Second)}, "completed failed retried"},
		{"two conditions", monitor.Search{Queue: "side", Statuses: []monitor.Status{monitor.Pending}}, "pending"},
		{"conditions that exclude each other", monitor.Search{Queue: "side", Tag: "vip"}, ""},
	} {
		for _, oldest := range []bool{false, true} {
			c.search.Oldest = oldest
			var got []string
			for _, id := range k.search(c.search) {
				if names[id] != "" { // else a probe of the suite
					got = append(got, names[id])
				}
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != c.want {
				k.Errorf("search by %s (oldest first: %v): %q, want %q", c.name, oldest, text, c.want)
			}
		}
	}
	p, err := power1[monitor.Lister](k).Messages(k.ctx, monitor.Search{Tag: "vip"})
	if err != nil || len(p.Records) != 1 {
		k.Fatalf("Messages: %+v, %v", p, err)
	}
	equal(k, "the record that a search finds", p.Records[0], k.find(failed))
}

func searchPages(k *kit) {
	var want []symphony.ID
	for i := range 7 {
		env := message(func(e *symphony.Envelope) {
			e.ID = symphony.NewID()
			e.ID[5] += byte(i) // in this order, whatever the clock of this process says
			e.Type = []string{"A", "B"}[i%2]
		})
		env.ID = laterThan(env.ID, want)
		want = append(want, env.ID)
		k.send(env)
	}
	equal(k, "the messages, the oldest first", k.search(monitor.Search{Limit: 2, Oldest: true}), want)
	equal(k, "those of a type, the oldest first", k.search(monitor.Search{Type: "A", Limit: 3, Oldest: true}), []symphony.ID{want[0], want[2], want[4], want[6]})
	slices.Reverse(want)
	equal(k, "the messages, the latest first", k.search(monitor.Search{Limit: 3}), want)
	p, err := power1[monitor.Lister](k).Messages(k.ctx, monitor.Search{Limit: 7})
	if err != nil || len(p.Records) != 7 {
		k.Errorf("a page for all has %d, %v", len(p.Records), err)
	}
	p, err = power1[monitor.Lister](k).Messages(k.ctx, monitor.Search{Limit: 8})
	if err != nil || len(p.Records) != 7 || p.Cursor != "" {
		k.Errorf("a page with room for more has %d and the cursor %q, %v", len(p.Records), p.Cursor, err)
	}
}

// laterThan returns id, or one behind the last of before.
func laterThan(id symphony.ID, before []symphony.ID) symphony.ID {
	if len(before) == 0 {
		return id
	}
	last := before[len(before)-1]
	if strings.Compare(id.String(), last.String()) > 0 {
		return id
	}
	for i := len(last) - 1; ; i-- {
		if last[i]++; last[i] != 0 {
			return last
		}
	}
}

func searchBounded(k *kit) {
	needle := message(func(e *symphony.Envelope) { e.Tags = []string{"needle"} })
	k.send(needle)
	const batch = 2500
	for range monitor.SearchRows/batch + 1 {
		envs := make([]*symphony.Envelope, batch)
		for i := range envs {
			envs[i] = message(delayed(time.Hour))
			envs[i].ID[0]++ // later than the needle
		}
		k.sendAll(envs)
	}
	s := monitor.Search{Tag: "needle"}
	read := 0
	for calls := 1; ; calls++ {
		p, err := power1[monitor.Lister](k).Messages(k.ctx, s)
		if err != nil {
			k.Fatalf("Messages: %v", err)
		}
		if read += p.Read; p.Read > monitor.SearchRows {
			k.Errorf("one call has read %d rows, at most %d are allowed", p.Read, monitor.SearchRows)
		}
		if len(p.Records) > 0 {
			if calls < 2 || p.Records[0].ID != needle.ID {
				k.Errorf("call %d has found %s after %d rows", calls, p.Records[0].ID, read)
			}
			return
		}
		if s.Cursor = p.Cursor; s.Cursor == "" {
			k.Fatalf("the search has ended after %d rows in %d calls, and found nothing", read, calls)
		}
	}
}

func searchBodies(k *kit) {
	bodies := map[string]string{
		"object":  `{"user": {"id": 42, "name": "Zoë \"x\""}, "n": 12345678901234567890, "f": 1.50, "ok": true, "none": null, "0": "zero", "items": [{"sku": "a"}, {"sku": "b"}]}`,
		"array":   `[[1, 2], ["x"]]`,
		"string":  `"plain"`,
		"broken":  `{"user": {"id": 42}`,
		"empty":   ``,
		"bytes":   "\xff\xfe{\"user\": {\"id\": 42}}",
		"nul":     `{"user": {"id": "a\u0000b"}}`,
		"nested":  strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
		"numbers": `{"user": {"id": [` + strings.Repeat("1e130000,", 2000) + `1e200000]}}`,
	}
	for name, body := range bodies {
		k.send(message(func(e *symphony.Envelope) { e.Body, e.Tags = []byte(body), []string{name} }))
	}
	k.send(message(func(e *symphony.Envelope) {
		e.Body, e.ContentType, e.Tags = []byte(bodies["object"]), "application/octet-stream", []string{"other content"}
	}))
	for _, c := range []struct{ path, value, want string }{
		{"user.id", "42", "object"},
		{"user.name", `Zoë "x"`, "object"},
		{"user", "42", ""},
		{"n", "12345678901234567890", "object"},
		{"f", "1.50", "object"},
		{"f", "1.5", ""},
		{"ok", "true", "object"},
		{"none", "null", ""},
		{"items[1].sku", "b", "object"},
		{"items[2].sku", "b", ""},
		{"[0][1]", "2", "array"},
		{"[1][0]", "x", "array"},
		{"missing", "", ""},
		{"0", "zero", "object"},
		{"items.0.sku", "a", ""},  // a name, and items has no members
		{"items.-1.sku", "b", ""}, // neither
		{"[0].1", "2", ""},
		{"user[0]", "42", ""},
		{"items[0]", `{"sku": "a"}`, ""}, // no value to compare
		{"[0]", "[1, 2]", ""},
	} {
		var got []string
		err := monitor.All(k.ctx, power1[monitor.Lister](k), monitor.Search{Body: monitor.BodyIs{Path: c.path, Value: c.value}}, func(p monitor.Page) error {
			for _, r := range p.Records {
				got = append(got, r.Tags...)
			}
			return nil
		})
		if text := strings.Join(got, " "); text != c.want || err != nil {
			k.Errorf("%s = %s: found %q, want %q; %v", c.path, c.value, text, c.want, err)
		}
	}
}

func searchNonsense(k *kit) {
	for _, s := range []monitor.Search{
		{Statuses: []monitor.Status{"eaten"}},
		{Cursor: "nonsense"},
		{Body: monitor.BodyIs{Path: "a..b"}},
		{Body: monitor.BodyIs{Path: "a[x]"}},
		{Body: monitor.BodyIs{Path: `a"b`}},
		{Body: monitor.BodyIs{Path: "a[1"}},
	} {
		_, err := power1[monitor.Lister](k).Messages(k.ctx, s)
		if _, ok := errors.AsType[*symphony.InvalidError](err); !ok {
			k.Errorf("search %+v: %v, want an *InvalidError", s, err)
		}
	}
}

func failedGroupsAlike(k *kit) {
	fail := func(text, class string, change ...func(*symphony.Envelope)) *symphony.Envelope {
		env := message(change...)
		k.send(env)
		v := verdict(k.receive(claimOf("w", 1, symphony.QueueClaim{Name: env.Queue}), 1)[0], symphony.Failed)
		v.Failure = &symphony.Failure{Error: text, Class: class}
		k.settle(v)
		k.Advance(time.Minute)
		return env
	}
	var last *symphony.Envelope
	for i := range 3 {
		last = fail(fmt.Sprintf("user %d not found", i), "NotFound")
	}
	fail("timeout", "Timeout", on("side"))
	page := func(f monitor.Filter) []monitor.FailedGroup {
		p, err := power1[monitor.Grouper](k).FailedGroups(k.ctx, f)
		if err != nil || p.Cursor != "" {
			k.Fatalf("FailedGroups: cursor %q, %v", p.Cursor, err)
		}
		return p.Groups
	}
	groups := page(monitor.Filter{})
	if len(groups) != 2 {
		k.Fatalf("%d groups, want 2: %+v", len(groups), groups)
	}
	g, r := groups[0], k.find(last)
	equal(k, "the first group", g, monitor.FailedGroup{
		Fingerprint: r.Fingerprint, Type: typ, Class: "NotFound", Reason: symphony.ReasonPermanent, Count: 3,
		First: g.First, Last: r.FinishedAt, Sample: last.ID, Error: "user 2 not found",
	})
	if d := g.Last.Sub(g.First); d < 2*time.Minute || d > 3*time.Minute {
		k.Errorf("the group began %v before its last, want two minutes", d)
	}
	equal(k, "the class of the group of a queue", page(monitor.Filter{Queue: "side"})[0].Class, "Timeout")
	equal(k, "the number of groups of another type", len(page(monitor.Filter{Type: "none"})), 0)
	equal(k, "what is since the last", page(monitor.Filter{Since: g.Last})[1].Count, int64(1))
}
