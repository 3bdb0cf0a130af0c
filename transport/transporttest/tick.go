package transporttest

import (
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

func tickTests() []test {
	const power = scheduling | find
	return []test{
		{"tick/missed runs", "Of the ticks that passed while nobody fired, those run that the policy says, and the others are recorded as missed.", power, tickMissed},
		{"tick/overlap allow", "With overlap allow a tick fires whatever lives.", power, tickAllow},
		{"tick/overlap skip", "With overlap skip a tick does not fire while a message of one before lives, and is recorded as skipped.", power, tickSkip},
		{"tick/overlap queue", "With overlap queue one message waits until the one before has ended, and none more.", power | groups, tickQueue},
		{"tick/overlap cancel", "With overlap cancel a tick cancels the message of the one before.", power | cancels, tickCancel},
		{"tick/jitter", "Jitter moves when a message is due, never the tick, by a number that depends on schedule and tick only.", power | delays, tickJitter},
		{"tick/max runs", "A schedule with a number of runs ends after that many ticks have fired.", power, tickMaxRuns},
		{"tick/bounds", "A schedule has no tick before from, at or after until, or in an excluded time.", power, tickBounds},
		{"tick/kept", "Of each schedule and outcome some of the latest ticks are kept, and old ones are deleted.", power, tickKept},
		{"tick/once", "A schedule of one time fires once, and has ended then.", power, tickOnce},
	}
}

// tickMissed: the store was out of reach for three hours, and so were three ticks; a fourth is due now, or comes later.
func tickMissed(k *kit) {
	d := newDesk(k)
	type policy struct {
		missed schedule.Missed
		window time.Duration
		want   []string
	}
	policies := []policy{
		{schedule.MissedSkip, 0, []string{"missed×3"}},
		{schedule.MissedSkip, 30 * time.Minute, []string{"missed×3"}},
		{schedule.MissedLast, 0, []string{"missed×2", "fired"}},
		{schedule.MissedLast, 20 * time.Minute, []string{"missed×3"}},
		{schedule.MissedAll, 0, []string{"fired", "fired", "fired"}},
		{schedule.MissedAll, 100 * time.Minute, []string{"missed", "fired", "fired"}},
	}
	var all []schedule.Schedule
	for i, p := range policies {
		all = append(all, hourly(fmt.Sprintf("p%d", i), func(s *schedule.Schedule) { s.Missed, s.Window = p.missed, p.window }))
	}
	d.apply(all...)
	first := d.entry("p0").NextRunAt
	d.reach(first.Add(2*time.Hour + 35*time.Minute))
	d.fire()
	d.fire()
	fired := 0
	for i, p := range policies {
		name := fmt.Sprintf("p%d", i)
		equal(k, fmt.Sprintf("outcomes with missed %s and window %v", p.missed, p.window), d.outcomes(name), p.want)
		e := d.entry(name)
		equal(k, "next tick", e.NextRunAt, first.Add(3*time.Hour))
		equal(k, "ticks accounted for", e.RunCount+e.MissedCount, 3)
		fired += int(e.RunCount)
		for _, t := range d.ticks(name) {
			if t.Runs > 1 {
				equal(k, "end of what was missed", t.Until, t.At.Add(time.Duration(t.Runs-1)*time.Hour))
			}
		}
	}
	for _, del := range k.receive(claim("w", 100), fired) {
		k.settle(done(del))
	}
	k.takeOnly("w")
	// What is on time runs with each policy.
	d.reach(first.Add(3 * time.Hour))
	d.fire()
	for i := range policies {
		words := d.outcomes(fmt.Sprintf("p%d", i))
		equal(k, "last outcome", words[len(words)-1], "fired")
	}
}

// overlapping makes a schedule with a policy and fires its first tick.
func overlapping(k *kit, o schedule.Overlap) (d *desk, first time.Time) {
	d = newDesk(k)
	d.apply(hourly("job", func(s *schedule.Schedule) { s.Overlap = o }))
	first = d.entry("job").NextRunAt
	d.reach(first)
	d.fire()
	return d, first
}

func (d *desk) fireAt(at time.Time, want ...string) {
	d.Helper()
	d.reach(at)
	d.fire()
	equal(d.kit, "outcomes", d.outcomes("job"), want)
}

func tickAllow(k *kit) {
	d, first := overlapping(k, schedule.OverlapAllow)
	k.take("w")
	d.fireAt(first.Add(time.Hour), "fired", "fired")
}

func tickSkip(k *kit) {
	d, first := overlapping(k, schedule.OverlapSkip)
	d.fireAt(first.Add(time.Hour), "fired", "skipped")
	k.take("w")
	d.fireAt(first.Add(2*time.Hour), "fired", "skipped", "skipped")
	one := k.take("w2") // the lease ran out while the clock moved; it lives all the same
	k.settle(done(one))
	d.fireAt(first.Add(3*time.Hour), "fired", "skipped", "skipped", "fired")
	equal(k, "skipped", d.entry("job").SkippedCount, 2)
}

func tickQueue(k *kit) {
	d, first := overlapping(k, schedule.OverlapQueue)
	d.fireAt(first.Add(time.Hour), "fired", "skipped") // the first one has not been started yet
	one := k.take("w")
	second := first.Add(2 * time.Hour)
	k.status(one.Envelope, monitor.Processing)
	d.fireAt(second, "fired", "skipped", "fired")
	d.fireAt(second.Add(time.Hour), "fired", "skipped", "fired", "skipped")
	waiting := d.ticks("job")[2].Messages[0]
	one = k.take("w2") // the lease ran out: it is the same one, the other waits for it
	if one.Envelope.ID == waiting {
		k.Fatalf("the second message runs beside the first")
	}
	k.settle(done(one))
	two := k.take("w2")
	equal(k, "the next message", two.Envelope.ID, waiting)
	k.settle(done(two))
	d.fireAt(second.Add(2*time.Hour), "fired", "skipped", "fired", "skipped", "fired")
}

func tickCancel(k *kit) {
	d, first := overlapping(k, schedule.OverlapCancel)
	waiting := &symphony.Envelope{ID: d.ticks("job")[0].Messages[0]}
	d.fireAt(first.Add(time.Hour), "fired", "fired")
	k.status(waiting, monitor.Cancelled)
	running := k.take("w")
	d.fireAt(first.Add(2*time.Hour), "fired", "fired", "fired")
	renewal, err := k.Transport.Renew(k.ctx, "w", []symphony.Token{running.Token})
	if err != nil {
		k.Fatalf("Renew: %v", err)
	}
	if len(renewal.Cancelled)+len(renewal.Lost) == 0 {
		k.Errorf("the worker does not learn that the message was cancelled")
	}
	last := k.take("w3")
	equal(k, "the message that runs now", last.Envelope.ID, d.ticks("job")[2].Messages[0])
	k.settle(done(last))
	k.takeOnly("w3")
}

func tickJitter(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job", func(s *schedule.Schedule) { s.Jitter = 20 * time.Minute }), hourly("other", func(s *schedule.Schedule) { s.Jitter = 20 * time.Minute }))
	first := d.entry("job").NextRunAt
	d.reach(first)
	d.fire()
	equal(k, "tick", d.ticks("job")[0].At, first)
	due := func(name string) time.Duration {
		r := k.find(&symphony.Envelope{ID: d.ticks(name)[0].Messages[0]})
		return r.ScheduledAt.Sub(first)
	}
	for _, name := range []string{"job", "other"} {
		if j := due(name); j <= 0 || j > 20*time.Minute {
			k.Errorf("the message of %s is due %v after its tick", name, j)
		}
	}
	if due("job") == due("other") {
		k.Errorf("two schedules have the same jitter, %v", due("job"))
	}
}

func tickMaxRuns(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job", func(s *schedule.Schedule) { s.MaxRuns, s.Missed = 3, schedule.MissedAll }))
	first := d.entry("job").NextRunAt
	d.fireAt(first, "fired")
	d.fireAt(first.Add(5*time.Hour), "fired", "fired", "fired")
	e := d.entry("job")
	equal(k, "state", e.State(), schedule.Ended)
	equal(k, "run count", e.RunCount, 3)
	d.fireAt(first.Add(9*time.Hour), "fired", "fired", "fired")
}

func tickBounds(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job"))
	first := d.entry("job").NextRunAt
	d.apply(hourly("job", func(s *schedule.Schedule) {
		s.Missed = schedule.MissedAll
		s.From, s.Until = first.Add(2*time.Hour), first.Add(6*time.Hour)
		s.Exclude = []schedule.Period{{From: first.Add(3 * time.Hour), Until: first.Add(5 * time.Hour)}}
	}))
	equal(k, "next tick", d.entry("job").NextRunAt, first.Add(2*time.Hour))
	d.fireAt(first.Add(9*time.Hour), "fired", "fired")
	equal(k, "second tick", d.ticks("job")[1].At, first.Add(5*time.Hour))
	equal(k, "state", d.entry("job").State(), schedule.Ended)
}

func tickKept(k *kit) {
	d := newDesk(k)
	d.apply(schedule.Schedule{
		Name: "job", Kind: schedule.KindInterval, Expression: "1s", Missed: schedule.MissedAll, Message: schedule.Message{Type: typ, Expires: time.Second},
	})
	d.Advance(time.Minute)
	if _, err := (&schedule.Scheduler{Bus: d.bus, Keep: 10}).Fire(k.ctx); err != nil {
		k.Fatalf("Fire: %v", err)
	}
	ticks := d.ticks("job")
	if n := len(ticks); n < 10 || n > 30 {
		k.Errorf("%d ticks are kept, want about 10", n)
	}
	equal(k, "last tick", ticks[len(ticks)-1].At, d.entry("job").LastTickAt)
}

func tickOnce(k *kit) {
	d := newDesk(k)
	at := d.now().Truncate(time.Second).Add(time.Hour)
	past := d.now().Add(-time.Hour)
	once := func(name string, at time.Time) schedule.Schedule {
		return hourly(name, func(s *schedule.Schedule) { s.Kind, s.Expression = schedule.KindOnce, at.Format(time.RFC3339Nano) })
	}
	d.apply(once("job", at), once("past", past))
	equal(k, "state of one in the past", d.entry("past").State(), schedule.Ended)
	d.fireAt(at.Add(time.Hour), "fired")
	e := d.entry("job")
	equal(k, "state", e.State(), schedule.Ended)
	equal(k, "last tick", e.LastTickAt, at)
	d.apply(once("job", at), once("past", past))
	d.fireAt(at.Add(3*time.Hour), "fired")
}
