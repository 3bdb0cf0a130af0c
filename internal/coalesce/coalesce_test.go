package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/coalesce"
)

var (
	errRow  = errors.New("a row was refused")
	errDown = errors.New("the store is down")
)

// A store is a fake of what Sends writes to. Each Write waits until the test lets it go on, if gate is set.
type store struct {
	gate func(ctx context.Context, envs []*symphony.Envelope) error // nil: writes at once

	mu      sync.Mutex
	batches [][]string // types of what each Write was given
	stored  map[symphony.ID]int
}

func (s *store) write(ctx context.Context, envs []*symphony.Envelope) ([]symphony.Receipt, error) {
	s.mu.Lock()
	var types []string
	for _, env := range envs {
		types = append(types, env.Type)
	}
	s.batches = append(s.batches, types)
	s.mu.Unlock()
	if s.gate != nil {
		if err := s.gate(ctx, envs); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored == nil {
		s.stored = make(map[symphony.ID]int)
	}
	rs := make([]symphony.Receipt, len(envs))
	for i, env := range envs {
		s.stored[env.ID]++
		rs[i].ID = env.ID
	}
	return rs, nil
}

func (s *store) written() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

func sendsOf(s *store, parallel int) *coalesce.Sends {
	return &coalesce.Sends{Write: s.write, IsData: func(err error) bool { return errors.Is(err, errRow) }, Parallel: parallel}
}

func envelope(typ string, size int) *symphony.Envelope {
	return &symphony.Envelope{ID: symphony.NewID(), Type: typ, Body: make([]byte, size)}
}

// An outcome is the answer to one Send.
type outcome struct {
	env     *symphony.Envelope
	receipt symphony.Receipt
	err     error
}

// begin calls Send on a goroutine of its own and waits until that has come as far as it can.
func begin(ctx context.Context, s *coalesce.Sends, env *symphony.Envelope) <-chan outcome {
	answer := make(chan outcome, 1)
	go func() {
		o := outcome{env: env, err: errors.New("Send never returned")}
		defer func() {
			if p := recover(); p != nil {
				o.err = fmt.Errorf("panic: %v", p)
			}
			answer <- o
		}()
		o.receipt, o.err = s.Send(ctx, env)
	}()
	synctest.Wait()
	return answer
}

func got(t *testing.T, answer <-chan outcome) outcome {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-answer:
		return o
	default:
		t.Fatal("a call still waits")
		return outcome{}
	}
}

func stored(t *testing.T, answer <-chan outcome) {
	t.Helper()
	if o := got(t, answer); o.err != nil || o.receipt.ID != o.env.ID {
		t.Errorf("%s: receipt %v, %v", o.env.Type, o.receipt, o.err)
	}
}

func idle(t *testing.T, s *coalesce.Sends) {
	t.Helper()
	if sends, flushes := s.Waiting(); sends != 0 || flushes != 0 {
		t.Errorf("%d sends wait and %d flushes are on their way at the end", sends, flushes)
	}
}

// gates let the test decide when and how each Write ends.
type gates struct{ ends chan error }

func newGates() gates { return gates{make(chan error)} }

func (g gates) wait(ctx context.Context, _ []*symphony.Envelope) error {
	select {
	case err := <-g.ends:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end lets one Write end.
func (g gates) end(err error) {
	g.ends <- err
	synctest.Wait()
}

func TestShared(t *testing.T) {
	for _, parallel := range []int{0, 1, 2, 3} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, s := newGates(), new(store)
				s.gate = g.wait
				sends := sendsOf(s, parallel)
				flushes := max(parallel, 1)
				var leaders, rest []<-chan outcome
				for i := range flushes {
					leaders = append(leaders, begin(t.Context(), sends, envelope(fmt.Sprint("leader", i), 0)))
				}
				for range 10 {
					rest = append(rest, begin(t.Context(), sends, envelope("w", 0)))
				}
				if waiting, under := sends.Waiting(); waiting != 10 || under != flushes {
					t.Fatalf("%d wait, %d flushes", waiting, under)
				}
				for range flushes + 1 {
					g.end(nil)
				}
				for _, a := range append(leaders, rest...) {
					stored(t, a)
				}
				if n := len(s.written()); n != flushes+1 {
					t.Errorf("%d writes, want %d", n, flushes+1)
				}
				idle(t, sends)
			})
		})
	}
}

// TestOrder: within one flush the first to come is the first to be written.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := newGates(), new(store)
		s.gate = g.wait
		sends := sendsOf(s, 1)
		answers := []<-chan outcome{begin(t.Context(), sends, envelope("0", 0))}
		for i := 1; i < 6; i++ {
			answers = append(answers, begin(t.Context(), sends, envelope(fmt.Sprint(i), 0)))
		}
		g.end(nil)
		g.end(nil)
		for _, a := range answers {
			stored(t, a)
		}
		if diff := cmp.Diff([][]string{{"0"}, {"1", "2", "3", "4", "5"}}, s.written()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := newGates(), new(store)
		s.gate = g.wait
		sends := sendsOf(s, 1)
		answers := []<-chan outcome{begin(t.Context(), sends, envelope("first", 0))}
		for range 1500 {
			answers = append(answers, begin(t.Context(), sends, envelope("m", 0)))
		}
		for range 3 {
			g.end(nil)
		}
		for _, a := range answers {
			stored(t, a)
		}
		if diff := cmp.Diff([]int{1, 1000, 500}, sizes(s)); diff != "" {
			t.Error(diff)
		}
		idle(t, sends)
	})
}

func sizes(s *store) (all []int) {
	for _, b := range s.written() {
		all = append(all, len(b))
	}
	return all
}

// TestByteLimit: no flush of several has more than 4 MiB of bodies; one body may have more. A large one is not overtaken for ever.
func TestByteLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := newGates(), new(store)
		var most int
		var mu sync.Mutex
		s.gate = func(ctx context.Context, envs []*symphony.Envelope) error {
			size := 0
			for _, env := range envs {
				size += len(env.Body)
			}
			mu.Lock()
			if len(envs) > 1 {
				most = max(most, size)
			}
			mu.Unlock()
			return g.wait(ctx, envs)
		}
		sends := sendsOf(s, 1)
		const mib = 1 << 20
		answers := []<-chan outcome{begin(t.Context(), sends, envelope("first", 0))}
		for _, size := range []int{mib, mib, 6 * mib, mib, mib, 1, mib, 2 * mib} {
			answers = append(answers, begin(t.Context(), sends, envelope(fmt.Sprint(size), size)))
		}
		for n := 0; ; n++ {
			if _, flushes := sends.Waiting(); flushes == 0 {
				break
			}
			if n == 9 {
				t.Fatal("the flushes do not end")
			}
			g.end(nil)
		}
		for _, a := range answers {
			stored(t, a)
		}
		if most != 4*mib {
			t.Errorf("the largest flush has %d bytes, want exactly 4 MiB", most)
		}
		if at := slices.IndexFunc(s.written(), func(b []string) bool { return b[0] == fmt.Sprint(6*mib) }); at < 0 || at > 2 {
			t.Errorf("the large one was written as number %d of %v", at, s.written())
		}
	})
}

// TestWithdraw: a call that ends before any flush has it is not written, whatever its turn, and is not unknown.
func TestWithdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := newGates(), new(store)
		s.gate = g.wait
		sends := sendsOf(s, 1)
		first := begin(t.Context(), sends, envelope("first", 0))
		ctx, cancel := context.WithCancel(t.Context())
		a := begin(t.Context(), sends, envelope("a", 0))
		gone := begin(ctx, sends, envelope("gone", 0))
		b := begin(t.Context(), sends, envelope("b", 0))
		cancel()
		if o := got(t, gone); !errors.Is(o.err, context.Canceled) || errors.Is(o.err, symphony.ErrOutcomeUnknown) {
			t.Errorf("%v: want context.Canceled alone", o.err)
		}
		g.end(nil)
		g.end(nil)
		for _, c := range []<-chan outcome{first, a, b} {
			stored(t, c)
		}
		if diff := cmp.Diff([][]string{{"first"}, {"a", "b"}}, s.written()); diff != "" {
			t.Error(diff)
		}
		idle(t, sends)
	})
}

// TestEndedInFlush: a call that ends while its flush is on its way is unknown, the flush goes on with all others.
func TestEndedInFlush(t *testing.T) {
	for _, ends := range []string{"leader", "follower", "both"} {
		t.Run(ends, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, s := newGates(), new(store)
				s.gate = g.wait
				sends := sendsOf(s, 1)
				first := begin(t.Context(), sends, envelope("first", 0))
				lead, cancelLead := context.WithCancel(t.Context())
				follow, cancelFollow := context.WithCancel(t.Context())
				defer cancelLead()
				defer cancelFollow()
				a := begin(lead, sends, envelope("leads", 0))
				b := begin(follow, sends, envelope("follows", 0))
				c := begin(t.Context(), sends, envelope("stays", 0))
				g.end(nil)
				stored(t, first)
				if ends != "follower" {
					cancelLead()
				}
				if ends != "leader" {
					cancelFollow()
					if o := got(t, b); !errors.Is(o.err, symphony.ErrOutcomeUnknown) || !errors.Is(o.err, context.Canceled) {
						t.Errorf("%v: want ErrOutcomeUnknown and context.Canceled", o.err)
					}
				}
				g.end(nil)
				stored(t, a)
				if ends == "leader" {
					stored(t, b)
				}
				stored(t, c)
				idle(t, sends)
			})
		})
	}
}

// TestAlone: the ctx of a call without company decides about its write.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s := newGates(), new(store)
		s.gate = g.wait
		sends := sendsOf(s, 1)
		ctx, cancel := context.WithCancel(t.Context())
		a := begin(ctx, sends, envelope("a", 0))
		cancel()
		if o := got(t, a); !errors.Is(o.err, context.Canceled) {
			t.Error(o.err)
		}
		idle(t, sends)
		if o := got(t, begin(ctx, sends, envelope("b", 0))); !errors.Is(o.err, context.Canceled) {
			t.Error(o.err)
		}
		if n := len(s.written()); n != 1 {
			t.Errorf("%d writes: a call with an ended ctx was written", n)
		}
	})
}

// TestOneFlushThatHangs: with patience there is one flush at a time, until it takes too long.
func TestOneFlushThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		s := sendsOf(&store{gate: g.wait}, 2)
		s.Patience = time.Second
		a := begin(t.Context(), s, envelope("a", 1))
		b := begin(t.Context(), s, envelope("b", 1))
		if sends, flushes := s.Waiting(); sends != 1 || flushes != 1 {
			t.Errorf("%d sends wait for %d flushes, want 1 for 1", sends, flushes)
		}
		time.Sleep(time.Second)
		c := begin(t.Context(), s, envelope("c", 1)) // takes b along
		d := begin(t.Context(), s, envelope("d", 1))
		if sends, flushes := s.Waiting(); sends != 1 || flushes != 2 {
			t.Errorf("%d sends wait for %d flushes, want 1 for 2", sends, flushes)
		}
		g.end(nil)
		g.end(nil)
		g.end(nil)
		for _, answer := range []<-chan outcome{a, b, c, d} {
			stored(t, answer)
		}
		idle(t, s)

		a = begin(t.Context(), s, envelope("a", 1))
		time.Sleep(time.Second)
		b = begin(t.Context(), s, envelope("b", 1))
		c = begin(t.Context(), s, envelope("c", 1))
		g.end(nil) // of a or b: the other is young or old
		g.end(nil)
		g.end(nil)
		for _, answer := range []<-chan outcome{a, b, c} {
			stored(t, answer)
		}
		idle(t, s)
	})
}
