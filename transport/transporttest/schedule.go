package transporttest

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
)

// The promises about schedules are those of the package, and of schedule.Store.
func scheduleTests() []test {
	const power = scheduling | find
	return []test{
		{"schedule/a tick makes one message", "A tick is fired when the store's clock has reached it: the tick, the message and the next tick are written together.", power, scheduleFires},
		{"schedule/not early", "Due-ness is decided by the store's clock.", power, scheduleNotEarly},
		{"schedule/five at once", "A tick fires once, however many schedulers run at once.", power, scheduleFive},
		{"schedule/once more", "A tick that has fired does not fire again, whatever becomes of next_run_at.", power, scheduleRepeated},
		{"schedule/all or nothing", "Update writes all or nothing.", power, scheduleAllOrNothing},
		{"schedule/subscribers", "A tick stores one message for the handler and one for each subscriber.", power | subscriptions, scheduleSubscribers},
		{"schedule/what it says is kept", "The store gives back what a schedule says.", power, scheduleKept},
		{"schedule/one that cannot fire", "A schedule that cannot be understood does not stop others.", power, scheduleBroken},
	}
}

// A desk is what cases about schedules work with.
type desk struct {
	*kit
	bus *symphony.Bus
	*schedule.Manager
}

func newDesk(k *kit) *desk {
	bus := &symphony.Bus{Transport: k.Transport, Owner: owner, Logger: slog.New(slog.DiscardHandler)}
	return &desk{k, bus, &schedule.Manager{Bus: bus}}
}

const owner = "suite"

// hourly is a schedule at each full hour.
func hourly(name string, change ...func(*schedule.Schedule)) schedule.Schedule {
	s := schedule.Schedule{Name: name, Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: typ, Body: []byte(`{"n":1}`)}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func (d *desk) apply(all ...schedule.Schedule) []schedule.Applied {
	d.Helper()
	applied, err := d.Apply(d.ctx, owner, all, false)
	if err != nil {
		d.Fatalf("Apply: %v", err)
	}
	return applied
}

func (d *desk) entry(name string) schedule.Entry {
	d.Helper()
	e, err := d.Find(d.ctx, name)
	if err != nil {
		d.Fatalf("Find: %v", err)
	}
	return e
}

// reach moves the store's clock to shortly after a time.
func (d *desk) reach(at time.Time) {
	d.Helper()
	d.Advance(at.Sub(d.now()) + 50*time.Millisecond)
}

// now is the store's clock.
func (d *desk) now() time.Time {
	d.Helper()
	u, err := power1[schedule.Store](d.kit).Update(d.ctx, schedule.Selection{}, func(time.Time, []schedule.Entry) ([]schedule.Change, error) { return nil, nil })
	if err != nil {
		d.Fatalf("Update: %v", err)
	}
	return u.Now
}

// fire lets a scheduler fire what is due.
func (d *desk) fire() {
	d.Helper()
	if _, err := (&schedule.Scheduler{Bus: d.bus}).Fire(d.ctx); err != nil {
		d.Fatalf("Fire: %v", err)
	}
}

// ticks are those of a schedule, the oldest first.
func (d *desk) ticks(name string) []schedule.Tick {
	d.Helper()
	all, err := d.Ticks(d.ctx, schedule.TickQuery{Schedule: name, Limit: 1000})
	if err != nil {
		d.Fatalf("Ticks: %v", err)
	}
	slices.SortFunc(all, func(a, b schedule.Tick) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Outcome, b.Outcome)) })
	return all
}

// outcomes is what became of the ticks of a schedule since a time, one word each.
func (d *desk) outcomes(name string) (words []string) {
	d.Helper()
	for _, t := range d.ticks(name) {
		word := string(t.Outcome)
		if t.Runs > 1 {
			word += fmt.Sprint("×", t.Runs)
		}
		words = append(words, word)
	}
	return words
}

func scheduleFires(k *kit) {
	d := newDesk(k)
	d.apply(hourly("report"))
	before := d.entry("report")
	if before.NextRunAt.IsZero() || before.NextRunAt.Minute() != 0 || !before.NextRunAt.After(d.now()) {
		k.Fatalf("the first tick is %v", before.NextRunAt)
	}
	d.reach(before.NextRunAt)
	d.fire()
	d.fire()
	e := d.entry("report")
	equal(k, "next tick", e.NextRunAt, before.NextRunAt.Add(time.Hour))
	equal(k, "last tick", e.LastTickAt, before.NextRunAt)
	equal(k, "run count", e.RunCount, 1)
	ticks := d.ticks("report")
	if len(ticks) != 1 || ticks[0].Outcome != schedule.TickFired || !ticks[0].At.Equal(before.NextRunAt) || len(ticks[0].Messages) != 1 {
		k.Fatalf("ticks are %+v", ticks)
	}
	if lag := ticks[0].Lag(); lag < 0 || lag > time.Minute {
		k.Errorf("the lag is %v", lag)
	}
	equal(k, "last messages", e.LastMessages, ticks[0].Messages)
	got := k.take("w")
	equal(k, "id of the message", got.Envelope.ID, ticks[0].Messages[0])
	equal(k, "type", got.Envelope.Type, typ)
	equal(k, "body", string(got.Envelope.Body), `{"n":1}`)
	equal(k, "header of the schedule", got.Envelope.Headers[schedule.HeaderSchedule], "report")
	equal(k, "header of the tick", got.Envelope.Headers[schedule.HeaderTick], before.NextRunAt.Format(time.RFC3339Nano))
	k.settle(done(got))
	k.takeOnly("w")
}

func scheduleNotEarly(k *kit) {
	d := newDesk(k)
	d.apply(hourly("report"))
	next := d.entry("report").NextRunAt
	d.Advance(next.Sub(d.now()) - 5*time.Second)
	d.fire()
	if ticks := d.ticks("report"); len(ticks) > 0 && d.now().Before(next) {
		k.Fatalf("it fired 5 s early: %+v", ticks)
	}
	d.reach(next)
	d.fire()
	equal(k, "ticks", len(d.ticks("report")), 1)
}

func scheduleFive(k *kit) {
	d := newDesk(k)
	const many = 40
	var all []schedule.Schedule
	for i := range many {
		all = append(all, hourly(fmt.Sprintf("s%02d", i), func(s *schedule.Schedule) { s.Missed = schedule.MissedAll }))
	}
	d.apply(all...)
	first := d.entry("s00").NextRunAt
	var rivals sync.WaitGroup
	stores := []symphony.Transport{k.Transport}
	for len(stores) < 5 {
		store := k.Transport
		if k.Reopen != nil {
			store = k.Reopen(k.t)
		}
		stores = append(stores, store)
	}
	d.reach(first.Add(2 * time.Hour)) // three ticks each
	errs := make([]error, len(stores))
	for i, store := range stores {
		rivals.Go(func() {
			s := schedule.Scheduler{Bus: &symphony.Bus{Transport: store}, Batch: 7}
			for range 20 {
				if _, err := s.Fire(k.ctx); err != nil {
					errs[i] = err
				}
			}
		})
	}
	rivals.Wait()
	for _, err := range errs {
		if err != nil {
			k.Fatalf("Fire: %v", err)
		}
	}
	seen := make(map[symphony.ID]bool)
	for _, s := range all {
		ticks := d.ticks(s.Name)
		if len(ticks) != 3 {
			k.Fatalf("schedule %s has %d ticks, want 3", s.Name, len(ticks))
		}
		for i, t := range ticks {
			if t.Outcome != schedule.TickFired || len(t.Messages) != 1 || seen[t.Messages[0]] || !t.At.Equal(first.Add(time.Duration(i)*time.Hour)) {
				k.Fatalf("tick %d of %s is %+v", i, s.Name, t)
			}
			seen[t.Messages[0]] = true
		}
	}
	for _, del := range k.receive(claim("w", 200), 3*many) {
		if !seen[del.Envelope.ID] {
			k.Errorf("message %s belongs to no tick", del.Envelope.ID)
		}
		k.settle(done(del))
	}
	k.takeOnly("w")
}

func scheduleRepeated(k *kit) {
	d := newDesk(k)
	d.apply(hourly("report"))
	first := d.entry("report").NextRunAt
	d.reach(first)
	d.fire()
	store := power1[schedule.Store](k)
	back := func(_ time.Time, found []schedule.Entry) ([]schedule.Change, error) {
		found[0].NextRunAt = first
		return []schedule.Change{{Entry: found[0], Write: schedule.Advance}}, nil
	}
	if _, err := store.Update(k.ctx, schedule.Selection{Names: []string{"report"}}, back); err != nil {
		k.Fatalf("Update: %v", err)
	}
	d.fire()
	e := d.entry("report")
	equal(k, "next tick", e.NextRunAt, first.Add(time.Hour))
	equal(k, "run count", e.RunCount, 1)
	equal(k, "outcomes", d.outcomes("report"), []string{"fired"})
	k.settle(done(k.take("w")))
	k.takeOnly("w")
}

func scheduleAllOrNothing(k *kit) {
	d := newDesk(k)
	d.apply(hourly("report"))
	e := d.entry("report")
	store := power1[schedule.Store](k)
	env := message()
	wrong := fmt.Errorf("changed its mind")
	_, err := store.Update(k.ctx, schedule.Selection{Names: []string{"report"}}, func(time.Time, []schedule.Entry) ([]schedule.Change, error) {
		return nil, wrong
	})
	equal(k, "error of decide", err, wrong)
	// The second schedule cannot be written: the first one, its tick and its message must not be either.
	_, err = store.Update(k.ctx, schedule.Selection{Names: []string{"report"}}, func(now time.Time, found []schedule.Entry) ([]schedule.Change, error) {
		c := schedule.Change{Entry: found[0], Write: schedule.Advance}
		c.Ticks = []schedule.Tick{{Schedule: "report", At: found[0].NextRunAt, Outcome: schedule.TickFired, RecordedAt: now, Runs: 1, Envelope: env}}
		c.Entry.RunCount = 7
		bad := schedule.Entry{Schedule: hourly("bad"), CreatedAt: now, UpdatedAt: now}
		bad.Missed, bad.Overlap, bad.Owner = "never", "allow", owner
		return []schedule.Change{c, {Entry: bad, Write: schedule.Create}}, nil
	})
	if err == nil {
		k.Logf("the store does not check the policies: nothing to see")
		return
	}
	equal(k, "entry", d.entry("report"), e)
	equal(k, "ticks", len(d.ticks("report")), 0)
	k.takeOnly("w")
}

func scheduleSubscribers(k *kit) {
	d := newDesk(k)
	subs := []symphony.Subscription{{Type: typ}, {Type: typ, Subscriber: "audit"}, {Type: typ, Subscriber: "mail", Queue: "mails"}}
	if err := power1[symphony.SubscriptionStore](k).Subscribe(k.ctx, subs); err != nil {
		k.Fatalf("Subscribe: %v", err)
	}
	d.apply(hourly("report", func(s *schedule.Schedule) { s.Overlap = schedule.OverlapSkip }))
	first := d.entry("report").NextRunAt
	d.reach(first)
	d.fire()
	ticks := d.ticks("report")
	if len(ticks) != 1 || len(ticks[0].Messages) != 3 {
		k.Fatalf("ticks are %+v, want one with three messages", ticks)
	}
	for _, del := range k.receive(claim("w", 2), 2) {
		k.settle(done(del))
	}
	// One copy lives.
	d.reach(first.Add(time.Hour))
	d.fire()
	equal(k, "outcomes", d.outcomes("report"), []string{"fired", "skipped"})
	mails := claim("w", 1)
	mails.Queues[0].Name = "mails"
	del := k.receive(mails, 1)[0]
	equal(k, "subscriber", del.Envelope.Subscriber, "mail")
	k.settle(done(del))
	d.reach(first.Add(2 * time.Hour))
	d.fire()
	equal(k, "outcomes", d.outcomes("report"), []string{"fired", "skipped", "fired"})
}

func scheduleKept(k *kit) {
	d := newDesk(k)
	retries := 7
	at := time.Date(2031, 2, 3, 4, 5, 6, 789e6, time.UTC)
	s := schedule.Schedule{
		Name: "all.of-it_1", Kind: schedule.KindCron, Expression: "0 3 * * *", Timezone: "Europe/Berlin",
		Message: schedule.Message{
			Type: "suite.Other", Body: []byte("\x00\xff bytes"), ContentType: "application/octet-stream", Version: 3, Queue: "q", Priority: 9, Group: "g",
			Expires: time.Minute, MaxRetries: &retries, Headers: map[string]string{"tenant": "a \"b\" \\ ü"}, Tags: []string{"x", "y,{}"},
		},
		Missed: schedule.MissedAll, Window: 90 * time.Minute, Overlap: schedule.OverlapQueue, Jitter: 1500 * time.Millisecond,
		From: at, Until: at.AddDate(1, 0, 0), Exclude: []schedule.Period{{From: at.AddDate(0, 1, 0), Until: at.AddDate(0, 2, 0)}}, MaxRuns: 12,
	}
	interval := hourly("every", func(s *schedule.Schedule) { s.Anchor = at })
	once := hourly("once", func(s *schedule.Schedule) { s.Kind, s.Expression = schedule.KindOnce, "2031-01-01T00:00:00Z" })
	d.apply(s, interval, once)
	s.Owner = owner
	got := d.entry(s.Name)
	equal(k, "schedule", got.Schedule, s)
	equal(k, "enabled", got.Enabled, true)
	equal(k, "next tick", got.NextRunAt, time.Date(2031, 2, 4, 2, 0, 0, 0, time.UTC))
	equal(k, "anchor", d.entry("every").Anchor, at)
	equal(k, "first tick of an interval", d.entry("every").NextRunAt, at)
	equal(k, "tick of once", d.entry("once").NextRunAt, time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC))
	equal(k, "state", got.State(), schedule.Active)
	if got.CreatedAt.IsZero() || got.Declared == "" {
		k.Errorf("created at %v, declared %q", got.CreatedAt, got.Declared)
	}
}

func scheduleBroken(k *kit) {
	d := newDesk(k)
	d.apply(hourly("bad"), hourly("good"))
	spoil := func(_ time.Time, found []schedule.Entry) ([]schedule.Change, error) {
		found[0].Expression = "nonsense"
		return []schedule.Change{{Entry: found[0], Write: schedule.Replace}}, nil
	}
	if _, err := power1[schedule.Store](k).Update(k.ctx, schedule.Selection{Names: []string{"bad"}}, spoil); err != nil {
		k.Fatalf("Update: %v", err)
	}
	next := d.entry("good").NextRunAt
	d.reach(next)
	d.fire()
	equal(k, "ticks of the good one", d.outcomes("good"), []string{"fired"})
	bad := d.entry("bad")
	equal(k, "next tick of the bad one", bad.NextRunAt, next)
	if bad.LastError == "" || len(d.ticks("bad")) > 0 {
		k.Errorf("the bad one has the error %q and %d ticks", bad.LastError, len(d.ticks("bad")))
	}
	if _, err := d.Edit(k.ctx, "bad", func(s *schedule.Schedule) error { s.Expression = "1h"; return nil }, false); err != nil {
		k.Fatalf("Edit: %v", err)
	}
	d.reach(next.Add(time.Hour))
	d.fire()
	equal(k, "ticks of the bad one", d.outcomes("bad"), []string{"fired"})
	equal(k, "error of the bad one", d.entry("bad").LastError, "")
}
