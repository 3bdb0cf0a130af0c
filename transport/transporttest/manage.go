package transporttest

import (
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
)

func ownerTests() []test {
	const power = scheduling | find
	return []test{
		{"owner/apply", "Apply adds, changes and drops the schedules of an owner, and leaves alone what has not changed.", power, ownerApply},
		{"owner/two", "Apply never touches the schedules of another owner, and a name of another owner's is an error that names it.", power, ownerTwo},
		{"owner/edit and deploy", "An edit lasts until the declaration changes, a pause until somebody resumes.", power, ownerEdit},
		{"owner/dry", "Apply with dry changes nothing.", power, ownerDry},
		{"owner/merge", "Merge adds and changes, and leaves everything else of its owner.", power, ownerMerge},
	}
}

func manageTests() []test {
	const power = scheduling | find
	return []test{
		{"manage/pause", "A paused schedule does not fire; one that is resumed fires from its next tick on.", power, managePause},
		{"manage/run", "Run dispatches the message now, also of a paused schedule, and leaves the ticks as they are.", power, manageRun},
		{"manage/backfill", "Backfill fires the ticks of a period that have not fired yet; a dry one counts them.", power, manageBackfill},
		{"manage/delete", "Delete deletes a schedule with its ticks.", power, manageDelete},
		{"manage/list", "Schedules lists by name, as far as the query chooses, page by page.", power, manageList},
		{"manage/ticks", "Ticks lists the latest ticks first, as far as the query chooses.", power, manageTicks},
		{"manage/not found", "What is about a schedule that is not there is ErrNotFound.", power, manageNotFound},
	}
}

func actions(applied []schedule.Applied) map[string]schedule.Action {
	all := make(map[string]schedule.Action)
	for _, a := range applied {
		all[a.Name] = a.Action
	}
	return all
}

func ownerApply(k *kit) {
	d := newDesk(k)
	got := d.apply(hourly("a"), hourly("b"), hourly("c"))
	equal(k, "actions", actions(got), map[string]schedule.Action{"a": schedule.Added, "b": schedule.Added, "c": schedule.Added})
	before := d.entry("a")
	got = d.apply(hourly("a"), hourly("b", func(s *schedule.Schedule) { s.Expression = "3h"; s.Message.Queue = "other" }), hourly("d"))
	equal(k, "actions", actions(got), map[string]schedule.Action{"a": schedule.Unchanged, "b": schedule.Changed, "c": schedule.Removed, "d": schedule.Added})
	for _, a := range got {
		if a.Name == "b" {
			equal(k, "fields", a.Fields, []string{"expression", "message.queue"})
		}
	}
	equal(k, "the one that did not change", d.entry("a"), before)
	equal(k, "hour of the tick of the one that changed", d.entry("b").NextRunAt.Hour()%3, 0)
	c := d.entry("c")
	equal(k, "state of the one that was dropped", c.State(), schedule.Dropped)
	equal(k, "actions", actions(d.apply(hourly("a"), hourly("b"))), map[string]schedule.Action{"a": schedule.Unchanged, "b": schedule.Changed, "d": schedule.Removed})
	d.reach(before.NextRunAt.Add(30 * time.Minute))
	d.fire()
	equal(k, "ticks of the one that was dropped", len(d.ticks("c")), 0)
	// Declared again it goes on with the next tick.
	got = d.apply(hourly("a"), hourly("b"), hourly("c"))
	equal(k, "actions", actions(got), map[string]schedule.Action{"a": schedule.Unchanged, "b": schedule.Unchanged, "c": schedule.Changed})
	back := d.entry("c")
	equal(k, "state", back.State(), schedule.Active)
	equal(k, "next tick", back.NextRunAt, before.NextRunAt.Add(time.Hour))
}

func ownerTwo(k *kit) {
	d := newDesk(k)
	d.apply(hourly("mine"), hourly("both"))
	mine := d.entry("mine")
	_, err := d.Apply(k.ctx, "other", []schedule.Schedule{hourly("theirs"), hourly("both")}, false)
	owned, ok := errors.AsType[*schedule.OwnedError](err)
	if !ok || owned.Name != "both" || owned.Owner != owner {
		k.Fatalf("the error is %v, want an *OwnedError of both and %s", err, owner)
	}
	if _, err := d.Find(k.ctx, "theirs"); !errors.Is(err, schedule.ErrNotFound) {
		k.Errorf("something was changed although a name is taken: %v", err)
	}
	if _, err := d.Apply(k.ctx, "other", []schedule.Schedule{hourly("theirs")}, false); err != nil {
		k.Fatalf("Apply: %v", err)
	}
	if _, err := d.Apply(k.ctx, "other", nil, false); err != nil {
		k.Fatalf("Apply of nothing: %v", err)
	}
	theirs := d.entry("theirs")
	equal(k, "state of theirs", theirs.State(), schedule.Dropped)
	equal(k, "mine", d.entry("mine"), mine)
	d.apply(hourly("both"))
	equal(k, "theirs after a deploy of mine", d.entry("theirs"), theirs)
}

func ownerEdit(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job"))
	declared := d.entry("job")
	edit := func(s *schedule.Schedule) error {
		s.Expression, s.Message.Body = "2h", []byte(`{"n":2}`)
		return nil
	}
	would, err := d.Edit(k.ctx, "job", edit, true)
	if err != nil {
		k.Fatalf("Edit: %v", err)
	}
	equal(k, "what a dry edit returns", would.Expression+string(would.Message.Body), `2h{"n":2}`)
	equal(k, "after a dry edit", d.entry("job"), declared)
	if _, err := d.Edit(k.ctx, "job", edit, false); err != nil {
		k.Fatalf("Edit: %v", err)
	}
	edited := d.entry("job")
	equal(k, "next tick of a dry edit", would.NextRunAt, edited.NextRunAt)
	equal(k, "hour of the next tick", edited.NextRunAt.Hour()%2, 0)
	same, err := d.Edit(k.ctx, "job", func(s *schedule.Schedule) error { s.Expression = "2h"; return nil }, false)
	if err != nil {
		k.Fatalf("Edit: %v", err)
	}
	equal(k, "what an edit of nothing returns", same, edited)
	if edited.EditedAt.IsZero() {
		k.Errorf("the entry does not say that it was edited")
	}
	if _, err := d.Pause(k.ctx, "job"); err != nil {
		k.Fatalf("Pause: %v", err)
	}
	equal(k, "the same declaration", actions(d.apply(hourly("job")))["job"], schedule.Unchanged)
	equal(k, "expression", d.entry("job").Expression, "2h")
	equal(k, "another declaration", actions(d.apply(hourly("job", func(s *schedule.Schedule) { s.Expression = "3h" })))["job"], schedule.Changed)
	e := d.entry("job")
	equal(k, "expression", e.Expression, "3h")
	equal(k, "body", string(e.Message.Body), `{"n":1}`)
	equal(k, "edited at", e.EditedAt, time.Time{})
	equal(k, "state", e.State(), schedule.Paused)
	// A declaration that becomes paused, or is not any more, says so.
	three := func(paused bool) schedule.Schedule {
		return hourly("job", func(s *schedule.Schedule) { s.Expression, s.Paused = "3h", paused })
	}
	d.apply(three(true))
	d.reach(d.entry("job").NextRunAt.Add(24 * time.Hour))
	d.apply(three(false))
	e = d.entry("job")
	equal(k, "state", e.State(), schedule.Active)
	if now := d.now(); !e.NextRunAt.After(now) {
		k.Errorf("the next tick of one that is paused no more is %v, while it was paused; it is %v", e.NextRunAt, now)
	}
	_, err = d.Edit(k.ctx, "job", func(s *schedule.Schedule) error { s.Expression = "1ns"; return nil }, false)
	if _, ok := errors.AsType[*symphony.InvalidError](err); !ok {
		k.Errorf("a wrong edit is %v", err)
	}
	equal(k, "after a wrong edit", d.entry("job"), e)
}

func ownerDry(k *kit) {
	d := newDesk(k)
	d.apply(hourly("a"), hourly("b"))
	before := d.entry("a")
	got, err := d.Apply(k.ctx, owner, []schedule.Schedule{hourly("a", func(s *schedule.Schedule) { s.MaxRuns = 3 }), hourly("c")}, true)
	if err != nil {
		k.Fatalf("Apply: %v", err)
	}
	equal(k, "actions", actions(got), map[string]schedule.Action{"a": schedule.Changed, "b": schedule.Removed, "c": schedule.Added})
	equal(k, "entry", d.entry("a"), before)
	equal(k, "actions", actions(d.apply(hourly("a"), hourly("b"))), map[string]schedule.Action{"a": schedule.Unchanged, "b": schedule.Unchanged})
}

func ownerMerge(k *kit) {
	d := newDesk(k)
	d.apply(hourly("a"), hourly("b"))
	before := d.entry("b")
	merge := func(dry bool, all ...schedule.Schedule) map[string]schedule.Action {
		k.Helper()
		got, err := d.Merge(k.ctx, owner, all, dry)
		if err != nil {
			k.Fatalf("Merge: %v", err)
		}
		return actions(got)
	}
	some := []schedule.Schedule{hourly("a", func(s *schedule.Schedule) { s.MaxRuns = 3 }), hourly("c")}
	want := map[string]schedule.Action{"a": schedule.Changed, "c": schedule.Added}
	equal(k, "actions of a dry run", merge(true, some...), want)
	equal(k, "actions", merge(false, some...), want)
	equal(k, "actions of another time", merge(false, some...), map[string]schedule.Action{"a": schedule.Unchanged, "c": schedule.Unchanged})
	equal(k, "actions of nothing", len(merge(false)), 0)
	equal(k, "the one that is not in it", d.entry("b"), before)
	_, err := d.Merge(k.ctx, "other", []schedule.Schedule{hourly("d"), hourly("b")}, false)
	if owned, ok := errors.AsType[*schedule.OwnedError](err); !ok || owned.Name != "b" {
		k.Errorf("the error is %v, want an *OwnedError of b", err)
	}
}

func managePause(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job", func(s *schedule.Schedule) { s.Missed = schedule.MissedAll }), hourly("other"))
	first := d.entry("job").NextRunAt
	e, err := d.Pause(k.ctx, "job")
	if err != nil || e.State() != schedule.Paused {
		k.Fatalf("Pause: %v, %s", err, e.State())
	}
	d.fireAt(first.Add(2 * time.Hour))
	if e, err = d.Resume(k.ctx, "job"); err != nil || e.State() != schedule.Active {
		k.Fatalf("Resume: %v, %s", err, e.State())
	}
	d.fire()
	equal(k, "next tick", d.entry("job").NextRunAt, first.Add(3*time.Hour))
	d.fireAt(first.Add(3*time.Hour), "fired")
}

func manageRun(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job"))
	if _, err := d.Pause(k.ctx, "job"); err != nil {
		k.Fatalf("Pause: %v", err)
	}
	before := d.entry("job")
	for range 3 {
		tick, err := d.Run(k.ctx, "job")
		if err != nil {
			k.Fatalf("Run: %v", err)
		}
		equal(k, "outcome", tick.Outcome, schedule.TickManual)
		got := k.take("w")
		equal(k, "message", []symphony.ID{got.Envelope.ID}, tick.Messages)
		equal(k, "header of the tick", got.Envelope.Headers[schedule.HeaderTick], tick.At.Format(time.RFC3339Nano))
		k.settle(done(got))
	}
	equal(k, "outcomes", d.outcomes("job"), []string{"manual", "manual", "manual"})
	e := d.entry("job")
	equal(k, "run count", e.RunCount, 0)
	equal(k, "next tick", e.NextRunAt, before.NextRunAt)
	equal(k, "state", e.State(), schedule.Paused)
}

func manageBackfill(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job"))
	first := d.entry("job").NextRunAt
	d.reach(first.Add(9 * time.Hour))
	d.fire() // the last of ten
	fill := func(p schedule.Period, dry bool) schedule.Backfill {
		k.Helper()
		b, err := d.Backfill(k.ctx, "job", p, dry)
		if err != nil {
			k.Fatalf("Backfill: %v", err)
		}
		return b
	}
	all := schedule.Period{From: first, Until: first.Add(9*time.Hour + time.Millisecond)}
	want := schedule.Backfill{Ticks: 10, Fired: 9, Before: 1, First: first, Last: first.Add(9 * time.Hour)}
	equal(k, "dry backfill", fill(all, true), want)
	part := schedule.Period{From: first.Add(2 * time.Hour), Until: first.Add(4 * time.Hour)}
	equal(k, "backfill of a part", fill(part, false), schedule.Backfill{Ticks: 2, Fired: 2, First: part.From, Last: first.Add(3 * time.Hour)})
	want.Fired, want.Before = 7, 3
	equal(k, "backfill", fill(all, false), want)
	want.Fired, want.Before = 0, 10
	equal(k, "backfill again", fill(all, false), want)
	equal(k, "run count", d.entry("job").RunCount, 1)
	for _, del := range k.receive(claim("w", 100), 10) {
		k.settle(done(del))
	}
	k.takeOnly("w")
	for what, p := range map[string]schedule.Period{
		"the future":       {From: first, Until: d.now().Add(time.Hour)},
		"an end before":    {From: first, Until: first},
		"no beginning":     {Until: first},
		"a year 300000":    {From: first, Until: time.Date(300000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"far too long ago": {From: first.AddDate(-5, 0, 0), Until: first},
	} {
		_, err := d.Backfill(k.ctx, "job", p, false)
		if _, ok := errors.AsType[*symphony.InvalidError](err); !ok {
			k.Errorf("a backfill of %s is %v, want an *InvalidError", what, err)
		}
	}
}

func manageDelete(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job"), hourly("other"))
	d.fireAt(d.entry("job").NextRunAt, "fired")
	id := d.ticks("job")[0].Messages[0]
	if err := d.Delete(k.ctx, "job"); err != nil {
		k.Fatalf("Delete: %v", err)
	}
	if _, err := d.Find(k.ctx, "job"); !errors.Is(err, schedule.ErrNotFound) {
		k.Errorf("Find of what was deleted: %v", err)
	}
	equal(k, "ticks", len(d.ticks("job")), 0)
	equal(k, "ticks of the other", d.outcomes("other"), []string{"fired"})
	k.status(&symphony.Envelope{ID: id}, monitor.Pending)
}

func manageList(k *kit) {
	d := newDesk(k)
	var all []schedule.Schedule
	for i := range 7 {
		all = append(all, hourly(fmt.Sprintf("s%d", i), func(s *schedule.Schedule) {
			s.Message.Type = fmt.Sprintf("type%d", i%2)
			s.Message.Tags = []string{fmt.Sprintf("tag%d", i%3), "all"}
		}))
	}
	d.apply(all...)
	d.apply(all[:6]...)
	if _, err := d.Apply(k.ctx, "other", []schedule.Schedule{hourly("a")}, false); err != nil {
		k.Fatalf("Apply: %v", err)
	}
	for _, c := range []struct {
		q    schedule.Query
		want string
	}{
		{schedule.Query{}, "[a s0 s1 s2 s3 s4 s5]"},
		{schedule.Query{Limit: 3}, "[a s0 s1]"},
		{schedule.Query{Limit: 3, After: "s1"}, "[s2 s3 s4]"},
		{schedule.Query{After: "s4", Dropped: true}, "[s5 s6]"},
		{schedule.Query{Owner: "other"}, "[a]"},
		{schedule.Query{Type: "type1"}, "[s1 s3 s5]"},
		{schedule.Query{Tag: "tag0"}, "[s0 s3]"},
		{schedule.Query{Tag: "tag0", Type: "type1", Owner: owner}, "[s3]"},
		{schedule.Query{Names: []string{"s6", "s2", "none"}}, "[s2 s6]"},
		{schedule.Query{Owner: "nobody"}, "[]"},
	} {
		es, err := d.List(k.ctx, c.q)
		if err != nil {
			k.Fatalf("List: %v", err)
		}
		names := []string{}
		for _, e := range es {
			names = append(names, e.Name)
		}
		equal(k, fmt.Sprintf("answer for %+v", c.q), fmt.Sprint(names), c.want)
	}
}

func manageTicks(k *kit) {
	d := newDesk(k)
	d.apply(hourly("job", func(s *schedule.Schedule) { s.Overlap, s.Missed = schedule.OverlapSkip, schedule.MissedAll }))
	first := d.entry("job").NextRunAt
	d.reach(first.Add(4 * time.Hour))
	d.fire()
	hours := func(q schedule.TickQuery) string {
		k.Helper()
		q.Schedule = "job"
		ticks, err := d.Ticks(k.ctx, q)
		if err != nil {
			k.Fatalf("Ticks: %v", err)
		}
		hours := []int{}
		for _, t := range ticks {
			hours = append(hours, int(t.At.Sub(first)/time.Hour))
		}
		return fmt.Sprint(hours)
	}
	equal(k, "all", hours(schedule.TickQuery{}), "[4 3 2 1 0]")
	equal(k, "skipped", hours(schedule.TickQuery{Outcome: schedule.TickSkipped}), "[4 3 2 1]")
	equal(k, "part", hours(schedule.TickQuery{From: first.Add(time.Hour), Until: first.Add(3 * time.Hour)}), "[2 1]")
	equal(k, "limit", hours(schedule.TickQuery{Limit: 2}), "[4 3]")
}

func manageNotFound(k *kit) {
	d := newDesk(k)
	for what, do := range map[string]func() error{
		"Find":   func() error { _, err := d.Find(k.ctx, "none"); return err },
		"Pause":  func() error { _, err := d.Pause(k.ctx, "none"); return err },
		"Resume": func() error { _, err := d.Resume(k.ctx, "none"); return err },
		"Delete": func() error { return d.Delete(k.ctx, "none") },
		"Run":    func() error { _, err := d.Run(k.ctx, "none"); return err },
		"Edit": func() error {
			_, err := d.Edit(k.ctx, "none", func(*schedule.Schedule) error { return nil }, false)
			return err
		},
		"Backfill": func() error {
			now := d.now()
			_, err := d.Backfill(k.ctx, "none", schedule.Period{From: now.Add(-time.Hour), Until: now}, true)
			return err
		},
	} {
		if err := do(); !errors.Is(err, schedule.ErrNotFound) {
			k.Errorf("%s is %v, want ErrNotFound", what, err)
		}
	}
}
