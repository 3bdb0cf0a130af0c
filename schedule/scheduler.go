package schedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// A Scheduler fires the schedules of a store: those that it declares, and all others, also of other programs. Any number of
// schedulers may run at once, in any number of processes. Its fields must not change, and [Scheduler.Add] not be called, once
// Run is called; it must not be copied.
type Scheduler struct {
	Bus    *symphony.Bus // its transport is the store, see [Store]; it prepares the messages that Add declares
	Owner  string        // of what Add declares; "": it declares nothing, and Run leaves the declarations in the store alone
	Poll   time.Duration // at most so long between two looks for schedules that others have added or changed; 0: 1 s
	Batch  int           // schedules that one transaction fires at most; 0: 500
	Keep   int           // ticks kept of each schedule and outcome, about; 0: 100
	Logger *slog.Logger  // nil: that of the bus

	declared []Schedule
	lists    []declaration
	errs     []error
}

// A declaration is the schedules of one owner.
type declaration struct {
	owner     string
	schedules []Schedule
}

// Add declares a schedule, which Run puts into the store. Its message is encoded now, as a dispatch would: by the routes and the
// sending middleware of the bus, which must have its transport. Add returns an error for what is refused, and Run returns it again:
//
//	s.Add("nightly-report", schedule.Cron("0 3 * * *", "Europe/Berlin"), ReportNightly{}, schedule.WithJitter(time.Minute))
func (s *Scheduler) Add(name string, t Trigger, m symphony.Message, opts ...Option) error {
	d := Schedule{Name: name, Owner: s.owner(), prepared: true}
	for _, opt := range opts {
		opt(&d)
	}
	err := d.setTrigger(t)
	if err == nil {
		d.normal()
		err = d.check()
	}
	if err == nil {
		d.Message, err = prepare(context.Background(), s.Bus, m, d.stamps)
	}
	if err == nil && slices.ContainsFunc(s.declared, func(other Schedule) bool { return other.Name == name }) {
		err = invalid("schedule", name, "declared once")
	}
	if err != nil {
		err = fmt.Errorf("add schedule %.80s: %w", name, err)
		s.errs = append(s.errs, err)
		return err
	}
	s.declared = append(s.declared, d)
	return nil
}

// Declare declares all schedules of another owner, such as those of a file, which Run puts into the store as [Manager.Apply] does: what the owner has
// in the store and not in the list is dropped. Their messages are prepared as those of Add are, but for the sending middleware, which sees
// messages of Go only. Declare returns an error for what is refused, and Run returns it again. The list must not change any more.
func (s *Scheduler) Declare(owner string, all []Schedule) error {
	err := new(application).take(context.Background(), s.Bus, owner, all)
	if err == nil && slices.ContainsFunc(s.lists, func(d declaration) bool { return d.owner == owner }) {
		err = invalid("owner of schedules", owner, "declared once")
	}
	if err != nil {
		err = fmt.Errorf("declare schedules of %.80s: %w", owner, err)
		s.errs = append(s.errs, err)
		return err
	}
	s.lists = append(s.lists, declaration{owner, all})
	return nil
}

func (s *Scheduler) owner() string {
	if s.Owner == "" && s.Bus != nil {
		return s.Bus.Owner
	}
	return s.Owner
}

// Run applies what Add and Declare have declared, see [Manager.Apply], and then fires schedules until ctx ends. A store that cannot be reached is tried again
// and again, with growing pauses of at most 2 s and at most one line a second in the log. Run returns an error only for a scheduler that cannot
// work at all, before it has fired anything: for what Add refused, a store that keeps no schedules or is not
// migrated, and names that belong to another owner. Else it returns nil, and nothing it started goes on.
//
// A schedule that cannot be understood, such as one in a time zone that this machine does not know, is logged, shown with its error and
// passed over for a minute; its ticks are missed or not as its policy says.
func (s *Scheduler) Run(ctx context.Context) error {
	r, err := s.newRun()
	if err == nil {
		err = r.apply(ctx)
	}
	if err == nil {
		err = r.loop(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("run scheduler: %w", err)
	}
	return nil
}

// Fire fires what is due now, and returns how many schedules that were. It is for programs that are woken from outside, in
// place of Run; it applies nothing.
func (s *Scheduler) Fire(ctx context.Context) (int, error) {
	r, err := s.newRun()
	fired := 0
	for err == nil {
		var found int
		if found, _, _, err = r.pass(ctx); found == 0 {
			break
		}
		fired += found
	}
	if err != nil {
		return fired, fmt.Errorf("fire schedules: %w", err)
	}
	return fired, nil
}

// A scheduling is one call of Scheduler.Run.
type scheduling struct {
	Scheduler // its defaults filled in
	store     Store
	custom    map[string]Trigger
	broken    map[string]time.Time // schedules to be passed over until then
	size      int                  // schedules that a transaction takes now: fewer while one of those that are due makes the store fail
	first     string               // of the schedules that the last one took; "": it did not come so far
	alone     int                  // failures in a row of one schedule that was tried alone
	logged    time.Time
}

func (s *Scheduler) newRun() (*scheduling, error) {
	if err := errors.Join(s.errs...); err != nil {
		return nil, err
	}
	if s.Poll < 0 || s.Batch < 0 || s.Keep < 0 {
		return nil, invalid("poll, batch or keep of a scheduler", fmt.Sprint(s.Poll, s.Batch, s.Keep), "zero or more")
	}
	store, err := storeOf(s.Bus)
	if err != nil {
		return nil, err
	}
	r := &scheduling{
		Scheduler: Scheduler{
			Bus: s.Bus, Owner: s.Owner, Poll: cmp.Or(s.Poll, time.Second), Batch: cmp.Or(s.Batch, 500), Keep: cmp.Or(s.Keep, keptTicks),
			Logger: cmp.Or(s.Logger, s.Bus.Logger, slog.Default()), declared: s.declared,
		},
		store: store, custom: make(map[string]Trigger), broken: make(map[string]time.Time),
	}
	r.size = r.Batch
	if r.Owner == "" && len(s.declared) > 0 {
		r.Owner = s.Bus.Owner
	}
	r.lists = s.lists
	if r.Owner != "" {
		r.lists = append([]declaration{{r.Owner, s.declared}}, s.lists...)
		if slices.ContainsFunc(s.lists, func(d declaration) bool { return d.owner == r.Owner }) {
			return nil, invalid("owner of a list of schedules", r.Owner, "another than that of the scheduler: each would drop what the other declares")
		}
	}
	for _, d := range s.declared {
		if d.trigger != nil {
			r.custom[d.Name] = d.trigger
		}
	}
	return r, nil
}

// apply puts what is declared into the store.
func (r *scheduling) apply(ctx context.Context) error {
	for _, d := range r.lists {
		if err := r.applyList(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (r *scheduling) applyList(ctx context.Context, d declaration) error {
	for fails := 0; ; fails++ {
		applied, err := (&Manager{Bus: r.Bus}).Apply(ctx, d.owner, d.schedules, false)
		if err == nil {
			for _, a := range applied {
				if a.Action != Unchanged {
					r.Logger.Info("schedule "+string(a.Action), "schedule", a.Name, "owner", d.owner, "fields", a.Fields)
				}
			}
			return nil
		}
		if hopeless(err) {
			return err
		}
		if err := r.recover(ctx, fails, err); err != nil {
			return err
		}
	}
}

// hopeless reports whether a store will go on to refuse us.
func hopeless(err error) bool {
	if _, ok := errors.AsType[*symphony.InvalidError](err); ok {
		return true
	}
	_, owned := errors.AsType[*OwnedError](err)
	return owned || errors.Is(err, symphony.ErrNotMigrated) || errors.Is(err, symphony.ErrSchemaTooNew) || errors.Is(err, errors.ErrUnsupported)
}

// recover logs a failure of the store and waits.
func (r *scheduling) recover(ctx context.Context, fails int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if now := time.Now(); now.Sub(r.logged) >= time.Second {
		r.logged = now
		r.Logger.Warn("the scheduler cannot work with its store", "error", err)
	}
	pause := min(50*time.Millisecond<<min(fails, 6), 2*time.Second)
	return sleep.For(ctx, pause/2+rand.N(pause/2))
}

// gather is how long the scheduler waits after it has fired something: what becomes due meanwhile shares a transaction.
const gather = 20 * time.Millisecond

func (r *scheduling) loop(ctx context.Context) error {
	worked := false
	for fails := 0; ctx.Err() == nil; {
		found, more, update, err := r.pass(ctx)
		switch {
		case err == nil:
			fails, worked = 0, true
		case !worked && hopeless(err):
			return err
		default:
			r.isolate(err)
			if err := r.recover(ctx, fails, err); err != nil {
				return nil
			}
			fails++
			continue
		}
		more = more || found == r.size
		r.size, r.alone = min(2*r.size, r.Batch), 0
		if more {
			continue
		}
		pause := r.Poll
		if !update.Next.IsZero() {
			pause = max(min(pause, update.Wait), 0)
		}
		if found > 0 {
			pause = max(pause, gather)
		}
		if sleep.For(ctx, pause) != nil {
			return nil
		}
	}
	return nil
}

// isolate finds the schedule because of which the store fails: the next transactions take fewer of them, and one that fails alone again and
// again is passed over.
func (r *scheduling) isolate(err error) {
	switch {
	case r.first == "":
	case r.size > 1:
		r.size /= 2
	default:
		if r.alone++; r.alone == aloneTries {
			r.passOver(r.first, err)
			r.alone = 0
		}
	}
}

const aloneTries = 3

// pass fires what is due, once. It returns how many schedules it found, and whether it left over ticks of one of them.
func (r *scheduling) pass(ctx context.Context) (found int, left bool, u Update, err error) {
	r.first = ""
	due := Due{Limit: r.size, Custom: slices.Collect(maps.Keys(r.custom))}
	for name, until := range r.broken {
		if time.Now().After(until) {
			delete(r.broken, name)
		} else {
			due.Except = append(due.Except, name)
		}
	}
	problems := make(map[string]error)
	u, err = r.store.Update(ctx, Selection{Due: &due}, func(now time.Time, all []Entry) ([]Change, error) {
		clear(problems)
		found, left, r.first = len(all), false, all[0].Name
		p := newPass(now, r.custom, r.Keep)
		changes := make([]Change, 0, len(all))
		for _, e := range all {
			c, err := p.fire(e)
			left = left || err == nil && !c.Entry.NextRunAt.IsZero() && !c.Entry.NextRunAt.After(now)
			if err != nil {
				problems[e.Name] = err
				e.LastError = cutText(err.Error())
				c = Change{Entry: e, Write: Advance}
			}
			changes = append(changes, c)
		}
		return changes, nil
	})
	for name, problem := range problems {
		r.passOver(name, problem)
	}
	return found, left, u, err
}

// brokenFor is how long a schedule is passed over that could not be fired.
const brokenFor = time.Minute

func (r *scheduling) passOver(name string, err error) {
	r.broken[name] = time.Now().Add(brokenFor)
	r.Logger.Error("a schedule cannot be fired", "schedule", name, "error", err)
}
