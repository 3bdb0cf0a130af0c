package transporttest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

func deadLetterTests() []test {
	return []test{
		{
			"dead letter/complete", "A dead letter is the message whole, with its queue, error, class, trace, attempts, reason and a fingerprint to group by. (DESIGN 5)",
			deadLetters | find, deadLetterComplete,
		},
		{
			"dead letter/in the step of the verdict", "Dead letters are moved by the same atomic step as the verdict. (promise 1)",
			deadLetters | find, deadLetterAtomic,
		},
		{
			"dead letter/reasons", "A Reason says why a message is a dead letter. (Reason)",
			deadLetters, deadLetterReasons,
		},
		{
			"dead letter/list", "Failed lists dead letters, the latest first; the fields of the Filter that are set must all match. (DeadLetters)",
			deadLetters, deadLetterList,
		},
		{
			"dead letter/pages", "The cursor goes on with those that failed before, whatever becomes of the dead letters meanwhile. (DeadLetters)",
			deadLetters, deadLetterPages,
		},
		{
			"dead letter/bounded", "Failed and FailedGroups read 20,000 rows at most in one call; the page may have no records and a cursor. (DeadLetters)",
			deadLetters | grouping, deadLetterBounded,
		},
		{
			"dead letter/retry", "RetryFailed puts dead letters back into their queues, with no failures counted. (DeadLetters)",
			deadLetters | find, deadLetterRetry,
		},
		{
			"dead letter/discard", "DiscardFailed deletes dead letters for good. (DeadLetters)",
			deadLetters | find, deadLetterDiscard,
		},
		{
			"dead letter/answers", "RetryFailed and DiscardFailed return one error for each id, in order: nil or ErrNotFound. (DeadLetters)",
			deadLetters, deadLetterAnswers,
		},
	}
}

// bury makes a dead letter of env, which must be the next message.
func (k *kit) bury(env *symphony.Envelope) {
	k.Helper()
	d := k.take("w")
	if d.Envelope.ID != env.ID {
		k.Fatalf("message %s came, want the one that is to fail", d.Envelope.ID)
	}
	k.settle(verdict(d, symphony.Failed))
}

// failed is the first page of dead letters.
func (k *kit) failed(f monitor.Filter) []monitor.Record {
	k.Helper()
	return k.failedPage(f).Records
}

func (k *kit) failedPage(f monitor.Filter) monitor.Page {
	k.Helper()
	page, err := power1[monitor.DeadLetters](k).Failed(k.ctx, f)
	if err != nil {
		k.Fatalf("Failed: %v", err)
	}
	if page.Read > monitor.SearchRows {
		k.Errorf("one call has read %d dead letters, at most %d are allowed", page.Read, monitor.SearchRows)
	}
	return page
}

// repair calls RetryFailed or DiscardFailed and requires its answers, nil or ErrNotFound.
func (k *kit) repair(how string, found []bool, envs ...*symphony.Envelope) {
	k.Helper()
	do := power1[monitor.DeadLetters](k).RetryFailed
	if how == "discard" {
		do = power1[monitor.DeadLetters](k).DiscardFailed
	}
	ids := make([]symphony.ID, len(envs))
	for i, env := range envs {
		ids[i] = env.ID
	}
	answers, err := do(k.ctx, ids)
	if err != nil || len(answers) != len(ids) {
		k.Fatalf("%s: %d answers for %d ids, %v", how, len(answers), len(ids), err)
	}
	for i, err := range answers {
		if found[i] && err != nil || !found[i] && !errors.Is(err, monitor.ErrNotFound) {
			k.Fatalf("%s: answer %d is %v, want one to a message that was found: %v", how, i+1, err, found[i])
		}
	}
}

func deadLetterComplete(k *kit) {
	limit := 1
	env := message(func(e *symphony.Envelope) {
		e.Body, e.ContentType, e.Version = []byte("\x00\xff body"), "application/octet-stream", 3
		e.Headers, e.Tags, e.MaxRetries, e.Subscriber = map[string]string{"tenant": "acme"}, []string{"a", "b"}, &limit, "audit"
	})
	k.send(env)
	k.settle(verdict(k.take("w"), symphony.Retried))
	waiting := k.find(env)
	k.settle(verdict(k.take("w"), symphony.Failed))
	k.takeOnly("w")

	r := k.status(env, monitor.Failed)
	list := k.failed(monitor.Filter{})
	if len(list) != 1 {
		k.Fatalf("there are %d dead letters, want 1", len(list))
	}
	equal(k, "the listed record", list[0], r)
	equal(k, "Body", r.Body, env.Body)
	equal(k, "ContentType", r.ContentType, env.ContentType)
	equal(k, "Version", r.Version, env.Version)
	equal(k, "Headers", r.Headers, env.Headers)
	equal(k, "Tags", r.Tags, env.Tags)
	equal(k, "MaxRetries", r.MaxRetries, env.MaxRetries)
	equal(k, "Subscriber", r.Subscriber, env.Subscriber)
	equal(k, "Type and Queue", r.Type+" "+r.Queue, env.Type+" "+env.Queue)
	equal(k, "CreatedAt", r.CreatedAt, waiting.CreatedAt)
	equal(k, "Reason", r.Reason, symphony.ReasonPermanent)
	equal(k, "LastError", r.LastError, failure().Error)
	equal(k, "ErrorClass", r.ErrorClass, failure().Class)
	equal(k, "Fingerprint", r.Fingerprint, failure().Fingerprint(env.Type))
	equal(k, "Fence", r.Fence, int64(2))
	equal(k, "the number of attempts", len(r.Attempts), 2)
	equal(k, "RetryCount", r.RetryCount, 1)
	last := r.Attempts[len(r.Attempts)-1]
	equal(k, "the last attempt", last, monitor.Attempt{
		Number: 2, At: last.At, Worker: "w", Error: failure().Error, Class: failure().Class, Trace: failure().Trace,
	})
	if r.FinishedAt.Before(r.CreatedAt) {
		k.Errorf("finished_at is %v, before created_at %v", r.FinishedAt, r.CreatedAt)
	}
}

func deadLetterAtomic(k *kit) {
	a, b := message(), message()
	k.send(a, b)
	ds := k.takeOnly("w", a, b)
	bad := []symphony.Verdict{verdict(ds[0], symphony.Failed), {Token: ds[1].Token, Outcome: "eaten"}}
	if err := k.Transport.Settle(k.ctx, bad); err == nil {
		k.Fatalf("Settle of an outcome that does not exist returned no error")
	}
	if list := k.failed(monitor.Filter{}); len(list) > 0 {
		k.Fatalf("a Settle that failed has left a dead letter: %+v", list)
	}
	k.status(a, monitor.Processing)
	k.settle(verdict(ds[0], symphony.Failed), done(ds[1]))
	equal(k, "the number of dead letters", len(k.failed(monitor.Filter{})), 1)
	k.lapse()
	k.takeOnly("w")
	k.status(a, monitor.Failed)
}

func deadLetterReasons(k *kit) {
	for _, reason := range []symphony.Reason{
		symphony.ReasonExhausted, symphony.ReasonPermanent, symphony.ReasonDeadline, symphony.ReasonCrashLoop,
		symphony.ReasonUnknownType, symphony.ReasonUndecodable, symphony.ReasonInvalid,
	} {
		env := message()
		k.send(env)
		v := verdict(k.take("w"), symphony.Failed)
		v.Reason = reason
		k.settle(v)
		list := k.failed(monitor.Filter{Reason: reason})
		if len(list) != 1 || list[0].ID != env.ID || list[0].Reason != reason {
			k.Errorf("the dead letters for the reason %s are %+v", reason, list)
		}
	}
}

func deadLetterList(k *kit) {
	var envs []*symphony.Envelope
	for i := range 6 {
		env := message(on([]string{queue, "side"}[i%2]), func(e *symphony.Envelope) { e.Type = []string{"A", "B", "C"}[i%3] })
		envs = append(envs, env)
		k.send(env)
		c := claimOf("w", 1, symphony.QueueClaim{Name: env.Queue})
		v := verdict(k.receive(c, 1)[0], symphony.Failed)
		v.Failure = &symphony.Failure{Error: fmt.Sprintf("error %d", i), Class: []string{"x", "y"}[i/3]}
		k.settle(v)
		k.Advance(time.Minute)
	}
	latest := k.failed(monitor.Filter{})
	third := latest[len(latest)-3].FinishedAt // of envs[2]
	print := (&symphony.Failure{Error: "error 9", Class: "x"}).Fingerprint("A")
	for _, test := range []struct {
		name   string
		filter monitor.Filter
		want   []int
	}{
		{"all", monitor.Filter{}, []int{5, 4, 3, 2, 1, 0}},
		{"ids", monitor.Filter{IDs: []symphony.ID{envs[4].ID, envs[1].ID, symphony.NewID()}}, []int{4, 1}},
		{"type", monitor.Filter{Type: "B"}, []int{4, 1}},
		{"queue", monitor.Filter{Queue: "side"}, []int{5, 3, 1}},
		{"reason", monitor.Filter{Reason: symphony.ReasonInvalid}, nil},
		{"class", monitor.Filter{Class: "x"}, []int{2, 1, 0}},
		{"fingerprint", monitor.Filter{Fingerprint: print}, []int{0}},
		{"since", monitor.Filter{Since: third}, []int{5, 4, 3, 2}},
		{"until", monitor.Filter{Until: third}, []int{1, 0}},
		{"since and until", monitor.Filter{Since: third, Until: third.Add(time.Millisecond)}, []int{2}},
		{"limit", monitor.Filter{Limit: 2}, []int{5, 4}},
		{"two fields", monitor.Filter{Type: "A", Queue: "side"}, []int{3}},
		{"two fields that exclude each other", monitor.Filter{Type: "A", Class: "z"}, nil},
	} {
		var got, want []symphony.ID
		for _, r := range k.failed(test.filter) {
			got = append(got, r.ID)
		}
		for _, i := range test.want {
			want = append(want, envs[i].ID)
		}
		if !slices.Equal(got, want) {
			k.Errorf("filter %s: %v, want %v", test.name, got, want)
		}
	}
}

func deadLetterPages(k *kit) {
	var envs []*symphony.Envelope
	for i := range 7 {
		env := message(func(e *symphony.Envelope) { e.Type = []string{"A", "B"}[i%2] })
		envs = append(envs, env)
		k.send(env)
		k.bury(env)
	}
	first := k.failedPage(monitor.Filter{Type: "A", Limit: 2})
	if len(first.Records) != 2 || first.Records[1].ID != envs[4].ID || first.Cursor == "" {
		k.Fatalf("the first page of two of a type has %d records and the cursor %q", len(first.Records), first.Cursor)
	}
	k.repair("discard", []bool{true, true}, envs[4], envs[3])
	k.repair("retry", []bool{true}, envs[2])
	k.bury(envs[2]) // it is the latest now
	rest := k.failedPage(monitor.Filter{Type: "A", Cursor: first.Cursor})
	if len(rest.Records) != 1 || rest.Records[0].ID != envs[0].ID || rest.Cursor != "" {
		k.Errorf("the page after it has %d records and the cursor %q, want the oldest one alone", len(rest.Records), rest.Cursor)
	}
	equal(k, "the number of those with ids behind the cursor", len(k.failed(monitor.Filter{IDs: []symphony.ID{envs[6].ID, envs[1].ID}, Cursor: first.Cursor})), 1)
	for _, cursor := range []string{"nonsense", "1f nonsense", "99999999999999999999"} {
		_, err := power1[monitor.DeadLetters](k).Failed(k.ctx, monitor.Filter{Cursor: cursor})
		if _, ok := errors.AsType[*symphony.InvalidError](err); !ok {
			k.Errorf("the cursor %q: %v, want an *InvalidError", cursor, err)
		}
	}
}

func deadLetterBounded(k *kit) {
	needle := message(func(e *symphony.Envelope) { e.Type = "Needle" })
	k.send(needle)
	k.bury(needle)
	const batch = 1000
	total := int64(1)
	for ; total <= monitor.SearchRows; total += batch {
		envs := make([]*symphony.Envelope, batch)
		for i := range envs {
			envs[i] = message()
		}
		k.send(envs...)
		ds := k.receive(claim("w", batch), batch)
		bad := make([]symphony.Verdict, batch)
		for i := range ds {
			bad[i] = verdict(ds[i], symphony.Failed)
		}
		k.settle(bad...)
	}
	equal(k, "those with its id, found at once", len(k.failed(monitor.Filter{IDs: []symphony.ID{needle.ID}, Type: "Needle"})), 1)
	var found []monitor.Record
	read, calls := 0, 0
	for f := (monitor.Filter{Type: "Needle"}); ; calls++ {
		page := k.failedPage(f)
		read += page.Read
		found = append(found, page.Records...)
		if f.Cursor = page.Cursor; f.Cursor == "" {
			break
		}
	}
	if len(found) != 1 || found[0].ID != needle.ID || read != int(total) || calls == 0 {
		k.Errorf("%d further calls have read %d of %d dead letters and found %d of one", calls, read, total, len(found))
	}
	var groups []monitor.FailedGroup
	var count int64
	for f := (monitor.Filter{}); ; {
		page, err := power1[monitor.Grouper](k).FailedGroups(k.ctx, f)
		if err != nil || page.Read > monitor.SearchRows {
			k.Fatalf("FailedGroups: %d read, %v", page.Read, err)
		}
		if groups = monitor.MergeGroups(groups, page.Groups); f.Cursor == "" { // one that is before the cursor
			k.repair("discard", []bool{true}, &symphony.Envelope{ID: k.failed(monitor.Filter{Limit: 1})[0].ID})
		}
		if f.Cursor = page.Cursor; f.Cursor == "" {
			break
		}
	}
	for _, g := range groups {
		count += g.Count
	}
	if count != total || len(groups) != 2 {
		k.Errorf("%d groups count %d dead letters, want 2 and %d", len(groups), count, total)
	}
}

func deadLetterRetry(k *kit) {
	a, b := message(), message()
	k.send(a)
	k.settle(verdict(k.take("w"), symphony.Retried))
	k.take("w")
	k.lapse()
	k.bury(a)
	k.send(b)
	k.repair("retry", []bool{true}, a)
	equal(k, "the number of dead letters", len(k.failed(monitor.Filter{})), 0)
	r := k.status(a, monitor.Pending)
	equal(k, "retry_count", r.RetryCount, 0)
	equal(k, "the number of attempts that are remembered", len(r.Attempts), 2)
	got := k.takeSet("w", a, b)
	i := slices.IndexFunc(got, func(d symphony.Delivery) bool { return d.Envelope.ID == a.ID })
	equal(k, "the tally", tallyOf(got[i]), tally{Attempt: 1, Fence: 4})
	equal(k, "Body", got[i].Envelope.Body, a.Body)
	k.done(got)
	k.status(a, monitor.Completed)
}

func deadLetterDiscard(k *kit) {
	a, b := message(), message()
	k.send(a)
	k.bury(a)
	k.send(b)
	k.bury(b)
	k.repair("discard", []bool{true}, a)
	if _, err := power1[monitor.Finder](k).Find(k.ctx, a.ID); !errors.Is(err, monitor.ErrNotFound) {
		k.Errorf("Find of a discarded message: %v, want ErrNotFound", err)
	}
	equal(k, "the number of dead letters", len(k.failed(monitor.Filter{})), 1)
	k.lapse()
	k.takeOnly("w")
}

func deadLetterAnswers(k *kit) {
	a, b, waiting := message(), message(), message()
	k.send(a)
	k.bury(a)
	k.send(b)
	k.bury(b)
	k.send(waiting)
	k.repair("retry", []bool{false, true, false, false}, waiting, a, a, message())
	k.repair("discard", []bool{false, true, false, false}, a, b, b, message())
	k.takeSet("w", waiting, a)
}

// takeSet is takeOnly where the contract leaves the order open, as it does for a retried dead letter.
func (k *kit) takeSet(worker string, want ...*symphony.Envelope) []symphony.Delivery {
	k.Helper()
	got := k.receive(claim(worker, len(want)), len(want))
	for _, env := range want {
		if !slices.ContainsFunc(got, func(d symphony.Delivery) bool { return d.Envelope.ID == env.ID }) {
			k.Fatalf("%s did not come", k.name(env.ID, want))
		}
	}
	k.takeOnly(worker)
	return got
}
