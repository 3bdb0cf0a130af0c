package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
)

// TestStorm does everything at once.
func TestStorm(t *testing.T) {
	t.Parallel()
	server := ownServer(t, map[string]string{"deadlock_timeout": "50ms"})
	dsn := server.DSN("postgres")
	store := openDSN(t, dsn, &Options{Logger: slog.New(slog.DiscardHandler)})
	second := openDSN(t, dsn, &Options{Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	s := &storm{T: t, store: store, ctx: ctx, accepted: make(map[symphony.ID]bool), gone: make(map[symphony.ID]bool), busy: make(map[string]int)}
	other := &storm{T: t, store: second, ctx: ctx, accepted: make(map[symphony.ID]bool), gone: make(map[symphony.ID]bool), busy: make(map[string]int)}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() { s.send(n) })
		all.Go(func() { other.send(n) })
	}
	for n := range 3 {
		all.Go(func() { s.work(n) })
		all.Go(func() { other.work(n + 3) })
		all.Go(s.repair)
		all.Go(other.repair)
	}
	all.Go(s.cancel)
	all.Go(other.cancel)
	all.Go(s.maintain)
	all.Go(other.maintain)
	all.Wait()
	t.Logf("accepted %d and %d, busy %v %v", len(s.accepted), len(other.accepted), s.busy, other.busy)
	noDeadlocks(t, server, store)
	countsAreExact(t, store)
	for what, text := range map[string]string{
		"groups whose holders are not there":   "select count(*) from symphony.messenger_groups g where not exists (select from symphony.messenger_messages m where m.id = g.holder)",
		"live keys without a message":          "select count(*) from symphony.messenger_keys k where k.live and not exists (select from symphony.messenger_messages m where m.id = k.message_id)",
		"messages without their key":           "select count(*) from symphony.messenger_messages m where m.idempotency_key is not null and not exists (select from symphony.messenger_keys k where k.message_id = m.id and k.live)",
		"keys that two live messages have":     "select count(*) from (select from symphony.messenger_messages where idempotency_key is not null group by message_type, subscriber, idempotency_key having count(*) > 1) s",
		"groups with two members that may run": "select count(*) from (select from symphony.messenger_messages where group_key is not null and waiting_for is null and status <> 'scheduled' group by queue_name, group_key having count(*) > 1) s",
		"members that run and are not holders": "select count(*) from symphony.messenger_messages m where group_key is not null and status = 'processing' and not exists (select from symphony.messenger_groups g where g.holder = m.id)",
		"messages that are in two states":      "select count(*) from (select id from (select id from symphony.messenger_messages union all select id from symphony.messenger_failed_messages union all select distinct id from symphony.messenger_history) s group by id having count(*) > 1) s",
		"messages that ended more than once":   "select count(*) from (select id from symphony.messenger_history group by id having count(*) > 1) s",
		"leases of workers that nobody knows":  "select count(*) from symphony.messenger_messages m where status = 'processing' and not exists (select from symphony.messenger_workers w where w.worker = m.locked_by)",
		"rows whose status and token disagree": "select count(*) from symphony.messenger_messages where (status = 'processing') <> (token is not null)",
		"groups that wait and nobody wakes":    "select count(*) from (select queue_name, group_key from symphony.messenger_messages where waiting_for = 'group' except select queue_name, group_key from symphony.messenger_groups except select queue_name, group_key from symphony.messenger_group_wakes) s",
	} {
		if n := scalar[int](t, store, text); n != 0 {
			t.Errorf("%s: %d", what, n)
		}
	}
	rows, err := store.upkeep.Query(t.Context(), "select id from symphony.messenger_messages union all select id from symphony.messenger_failed_messages union all select id from symphony.messenger_history")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[symphony.ID]bool)
	for rows.Next() {
		var id symphony.ID
		if err := rows.Scan((*[16]byte)(&id)); err != nil {
			t.Fatal(err)
		}
		there[id] = true
	}
	lost := 0
	for _, one := range []*storm{s, other} {
		for id, sure := range one.accepted {
			if sure && !there[id] && !s.gone[id] && !other.gone[id] {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d messages were accepted and are in no state at all", lost)
	}
	if len(s.accepted) < 500 {
		t.Errorf("only %d were accepted: the storm proves little", len(s.accepted))
	}
}

// TestGroupsUnderConcurrency: members of a group one at a time, and in the order in which they were sent.
func TestGroupsUnderConcurrency(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	stores := []*Transport{openDSN(t, dsn, nil), openDSN(t, dsn, nil)}
	const groups, members = 8, 40
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	var all sync.WaitGroup
	for g := range groups {
		all.Go(func() {
			for m := range members {
				env := anEnvelope(fmt.Sprintf("m%d", m), inGroup(fmt.Sprint("g", g)))
				if _, err := stores[g%2].Send(ctx, []*symphony.Envelope{env}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	next, runs := make(map[string]int), make(map[string]string)
	left := groups * members
	for w := range 6 {
		all.Go(func() {
			for {
				ds, err := stores[w%2].Receive(ctx, claimFor(fmt.Sprint("w", w), 5))
				if err != nil {
					return
				}
				var verdicts []symphony.Verdict
				mu.Lock()
				for _, d := range ds {
					g := d.Envelope.Group
					if runs[g] != "" {
						t.Errorf("group %s: %s is leased while %s runs", g, d.Envelope.Type, runs[g])
					}
					if want := fmt.Sprintf("m%d", next[g]); d.Envelope.Type != want {
						t.Errorf("group %s: %s is leased, want %s", g, d.Envelope.Type, want)
					}
					runs[g] = d.Envelope.Type
				}
				mu.Unlock()
				for _, d := range ds {
					mu.Lock()
					g := d.Envelope.Group
					v := symphony.Verdict{Token: d.Token, Outcome: symphony.Completed}
					if rand.IntN(4) == 0 {
						v.Outcome = []symphony.Outcome{symphony.Retried, symphony.Snoozed, symphony.Released}[rand.IntN(3)]
					} else {
						next[g]++
						left--
					}
					runs[g] = ""
					verdicts = append(verdicts, v)
					mu.Unlock()
				}
				if err := stores[w%2].Settle(ctx, verdicts); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				mu.Lock()
				if left == 0 {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if left != 0 {
		t.Errorf("%d were never handled", left)
	}
}

// TestNoDeadlock are pairs of calls that take the same rows, each many times at once.
func TestNoDeadlock(t *testing.T) {
	t.Parallel()
	server := ownServer(t, map[string]string{"deadlock_timeout": "20ms"})
	store := openDSN(t, server.DSN("postgres"), &Options{Logger: slog.New(slog.DiscardHandler)})
	ctx := t.Context()
	const n = 60
	// leased sends n messages with keys and leases them to a worker that is then taken for dead.
	leased := func(t *testing.T, worker string, lease time.Duration) (ds []symphony.Delivery, ids []symphony.ID) {
		var envs []*symphony.Envelope
		for i := range n {
			envs = append(envs, anEnvelope("t", withKey(fmt.Sprint("k", i), 0)))
		}
		if _, err := store.Send(ctx, envs); err != nil {
			t.Fatal(err)
		}
		for len(ds) < n {
			c := claimFor(worker, n)
			c.Lease = lease
			some, err := store.Receive(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			ds = append(ds, some...)
		}
		rand.Shuffle(n, func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
		for _, d := range ds {
			ids = append(ids, d.Envelope.ID)
		}
		return ds, ids
	}
	settle := func(ds []symphony.Delivery, o symphony.Outcome) error {
		var verdicts []symphony.Verdict
		for _, d := range ds {
			verdicts = append(verdicts, symphony.Verdict{Token: d.Token, Outcome: o, Reason: symphony.ReasonPermanent})
		}
		err := store.Settle(ctx, verdicts)
		if errors.Is(err, symphony.ErrLeaseLost) {
			return nil
		}
		return err
	}
	both := func(t *testing.T, calls ...func() error) {
		var all sync.WaitGroup
		for _, call := range calls {
			all.Go(func() {
				if err := call(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	shuffled := func(ids []symphony.ID) []symphony.ID {
		ids = append([]symphony.ID(nil), ids...)
		rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		return ids
	}
	clean := func() {
		_, _ = store.upkeep.Exec(ctx, "truncate symphony.messenger_messages, symphony.messenger_failed_messages, symphony.messenger_keys, symphony.messenger_workers")
	}
	for name, round := range map[string]func(t *testing.T){
		"retry and discard": func(t *testing.T) {
			ds, ids := leased(t, "w", time.Hour)
			if err := settle(ds, symphony.Failed); err != nil {
				t.Fatal(err)
			}
			both(t,
				func() error { _, err := store.RetryFailed(ctx, shuffled(ids)); return err },
				func() error { _, err := store.DiscardFailed(ctx, shuffled(ids)); return err },
				func() error { _, err := store.DiscardFailed(ctx, shuffled(ids)); return err })
		},
		"discard and send": func(t *testing.T) {
			ds, ids := leased(t, "w", time.Hour)
			if err := settle(ds, symphony.Failed); err != nil {
				t.Fatal(err)
			}
			again := func() error {
				var envs []*symphony.Envelope
				for _, i := range rand.Perm(n) {
					envs = append(envs, anEnvelope("t", withKey(fmt.Sprint("k", i), 0)))
				}
				_, err := store.Send(ctx, envs)
				return err
			}
			both(t, again, again, func() error { _, err := store.DiscardFailed(ctx, shuffled(ids)); return err })
		},
		"settle and take back": func(t *testing.T) {
			ds, _ := leased(t, "late", time.Hour)
			if _, err := store.upkeep.Exec(ctx, "update symphony.messenger_workers set alive_until = now() - interval '1 s'"); err != nil {
				t.Fatal(err)
			}
			both(t,
				func() error { return settle(ds, symphony.Snoozed) },
				func() error { _, err := store.Maintain(ctx); return err })
		},
		"retry and settle of who has the keys": func(t *testing.T) {
			ds, ids := leased(t, "w", time.Hour)
			if err := settle(ds, symphony.Failed); err != nil {
				t.Fatal(err)
			}
			holders, _ := leased(t, "w", time.Hour)
			both(t,
				func() error { return settle(holders, symphony.Cancelled) },
				func() error { _, err := store.RetryFailed(ctx, shuffled(ids)); return err })
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := strings.Count(deadlocksIn(t, server.Log()), "deadlock detected")
			for range 12 {
				round(t)
				clean()
			}
			if after := strings.Count(deadlocksIn(t, server.Log()), "deadlock detected"); after > before {
				t.Errorf("%d deadlocks", after-before)
			}
		})
	}
	if text := deadlocksIn(t, server.Log()); text != "" {
		t.Logf("deadlocks:\n%.6000s", text)
	}
}
