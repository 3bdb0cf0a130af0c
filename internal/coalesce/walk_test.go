package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
)

// TestTheirOwn: what a caller changes after Send has returned is not what is written.
func TestTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		var seen []string
		s := new(store)
		s.gate = func(ctx context.Context, envs []*symphony.Envelope) error {
			err := g.wait(ctx, envs)
			for _, e := range envs {
				if e.MaxRetries != nil {
					seen = append(seen, fmt.Sprintf("%s %v %v %s %d", e.Body, e.Headers, e.Tags, e.Key, *e.MaxRetries))
				}
			}
			return err
		}
		sends := sendsOf(s, 1)
		first := begin(t.Context(), sends, envelope("first", 0))
		leads := begin(t.Context(), sends, envelope("leads", 0))
		ctx, cancel := context.WithCancel(t.Context())
		most := 3
		env := &symphony.Envelope{
			ID: symphony.NewID(), Body: []byte("old"), Headers: map[string]string{"a": "old"}, Tags: []string{"old"}, Key: "old", MaxRetries: &most,
		}
		gone := begin(ctx, sends, env)
		g.end(nil)
		cancel()
		if o := got(t, gone); !errors.Is(o.err, symphony.ErrOutcomeUnknown) {
			t.Fatal(o.err)
		}
		copy(env.Body, "new")
		env.Headers["a"], env.Tags[0], env.Key, most = "new", "new", "new", 7
		g.end(nil)
		stored(t, first)
		stored(t, leads)
		if diff := cmp.Diff([]string{"old map[a:old] [old] old 3"}, seen); diff != "" {
			t.Error(diff)
		}
	})
}

// TestOneByOne: an error about a row is that of its caller alone.
func TestOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		s := new(store)
		s.gate = func(ctx context.Context, envs []*symphony.Envelope) error {
			if envs[0].Type == "first" {
				return g.wait(ctx, envs)
			}
			if slices.ContainsFunc(envs, func(e *symphony.Envelope) bool { return e.Type == "bad" }) {
				return errRow
			}
			return nil
		}
		sends := sendsOf(s, 1)
		first := begin(t.Context(), sends, envelope("first", 0))
		var answers []<-chan outcome
		for i := range 9 {
			typ := "good"
			if i%4 == 0 {
				typ = "bad"
			}
			answers = append(answers, begin(t.Context(), sends, envelope(typ, 0)))
		}
		g.end(nil)
		stored(t, first)
		for _, a := range answers {
			o := got(t, a)
			if bad := o.env.Type == "bad"; errors.Is(o.err, errRow) != bad || !bad && (o.err != nil || o.receipt.ID != o.env.ID) {
				t.Errorf("%s: %v, %v", o.env.Type, o.receipt, o.err)
			}
			if n := s.stored[o.env.ID]; (n == 1) != (o.env.Type == "good") {
				t.Errorf("%s was stored %d times", o.env.Type, n)
			}
		}
		idle(t, sends)
	})
}

// TestDownInTheMiddle: the store goes away between the single writes after a refused batch. Who was answered before keeps
// his answer, and the others are not written one after another.
func TestDownInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		s := new(store)
		single := 0
		s.gate = func(ctx context.Context, envs []*symphony.Envelope) error {
			switch {
			case envs[0].Type == "first":
				return g.wait(ctx, envs)
			case len(envs) > 1:
				return errRow
			}
			if single++; single > 2 {
				return errDown
			}
			return nil
		}
		sends := sendsOf(s, 1)
		first := begin(t.Context(), sends, envelope("first", 0))
		var answers []<-chan outcome
		for range 6 {
			answers = append(answers, begin(t.Context(), sends, envelope("m", 0)))
		}
		g.end(nil)
		stored(t, first)
		for i, a := range answers {
			if o := got(t, a); (o.err == nil) != (i < 2) || i >= 2 && !errors.Is(o.err, errDown) {
				t.Errorf("call %d: %v", i, o.err)
			}
		}
		if single != 3 {
			t.Errorf("%d single writes, want 3", single)
		}
		idle(t, sends)
	})
}

// TestPanic: the others of a flush that panics get an answer, and the next flush begins.
func TestPanic(t *testing.T) {
	for _, parallel := range []int{1, 2} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGates()
				s := new(store)
				s.gate = func(ctx context.Context, envs []*symphony.Envelope) error {
					err := g.wait(ctx, envs)
					if errors.Is(err, errDown) {
						panic("in Write")
					}
					return err
				}
				sends := sendsOf(s, parallel)
				var firsts []<-chan outcome
				for range parallel {
					firsts = append(firsts, begin(t.Context(), sends, envelope("first", 0)))
				}
				a, b := begin(t.Context(), sends, envelope("a", 0)), begin(t.Context(), sends, envelope("b", 0))
				for range firsts {
					g.end(nil)
				}
				g.end(errDown)
				for _, f := range firsts {
					stored(t, f)
				}
				if o := got(t, a); o.err == nil || o.err.Error() != "panic: in Write" {
					t.Errorf("the leader of a flush that panicked: %v", o.err)
				}
				if o := got(t, b); !errors.Is(o.err, symphony.ErrOutcomeUnknown) {
					t.Errorf("another one of it: %v, want ErrOutcomeUnknown", o.err)
				}
				next := begin(t.Context(), sends, envelope("next", 0))
				g.end(nil)
				stored(t, next)
				idle(t, sends)
			})
		})
	}
}

// TestNobodyWaitsForEver is a random walk: calls come and go at any moment, writes take their time, fail, and panic. Each call
// must get one answer that is true.
func TestNobodyWaitsForEver(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { walk(t, seed) })
		})
	}
}

func walk(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex // of rng
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	s := new(store)
	under, most := 0, 0
	s.gate = func(ctx context.Context, envs []*symphony.Envelope) error {
		s.mu.Lock()
		under++
		most = max(most, under)
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			under--
			s.mu.Unlock()
		}()
		select {
		case <-time.After(time.Duration(draw(2000)) * time.Microsecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		switch draw(60) {
		case 0:
			return errDown
		case 1:
			panic("in Write")
		}
		if slices.ContainsFunc(envs, func(e *symphony.Envelope) bool { return e.Type == "bad" }) {
			return errRow
		}
		return nil
	}
	parallel := 1 + int(seed%3)
	sends := sendsOf(s, parallel)
	answers := make(chan outcome)
	const calls = 200
	for range calls {
		typ := "good"
		if draw(60) == 0 {
			typ = "bad"
		}
		size := 0
		if draw(20) == 0 {
			size = 1500 << 10 // two fit
		}
		env, after, lives := envelope(typ, size), draw(10000), draw(4000)
		go func() {
			o := outcome{env: env}
			defer func() {
				if p := recover(); p != nil {
					o.err = symphony.ErrOutcomeUnknown
				}
				answers <- o
			}()
			time.Sleep(time.Duration(after) * time.Microsecond)
			ctx := t.Context()
			if lives < 2000 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(lives)*time.Microsecond)
				defer cancel()
			}
			o.receipt, o.err = sends.Send(ctx, env)
		}()
	}
	late := time.After(time.Hour) // of the bubble's clock: it moves only when everybody waits
	var all []outcome
	for range calls {
		select {
		case o := <-answers:
			all = append(all, o)
		case <-late:
			t.Fatalf("%d of %d calls have had no answer", calls-len(all), calls)
		}
	}
	synctest.Wait()
	for _, o := range all {
		n := s.stored[o.env.ID]
		switch {
		case n > 1:
			t.Errorf("a message was stored %d times", n)
		case o.err == nil && (n != 1 || o.receipt.ID != o.env.ID):
			t.Errorf("a call succeeded whose message was stored %d times; receipt %v", n, o.receipt)
		case n == 1 && o.err != nil && !errors.Is(o.err, symphony.ErrOutcomeUnknown):
			t.Errorf("a call failed with %v whose message is stored", o.err)
		case errors.Is(o.err, errRow) && o.env.Type != "bad":
			t.Errorf("a good message has the error of another one: %v", o.err)
		}
	}
	if most > parallel {
		t.Errorf("%d flushes at once, want %d at most", most, parallel)
	}
	for _, b := range s.written() {
		if len(b) == 0 {
			t.Error("a flush of nothing")
		}
	}
	if n := len(slices.Collect(maps.Keys(s.stored))); n < calls/20 {
		t.Errorf("only %d of %d were stored: the walk proves little", n, calls)
	}
	idle(t, sends)
}

// TestManyAtOnce: on real processors, with several flushes on their way, nobody is in two of them. A first caller that had not yet
// begun its flush was once taken by another one, written twice, and answered twice.
func TestManyAtOnce(t *testing.T) {
	for _, parallel := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			s := new(store)
			sends := sendsOf(s, parallel)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // then they wait for ever
			defer cancel()
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					defer func() {
						if p := recover(); p != nil {
							t.Errorf("panic: %v", p)
						}
					}()
					for range 1000 {
						env := envelope("m", 0)
						if r, err := sends.Send(ctx, env); err != nil || r.ID != env.ID {
							t.Errorf("receipt %v, %v", r, err)
							return
						}
					}
				})
			}
			all.Wait()
			for _, n := range s.stored {
				if n != 1 {
					t.Fatalf("a message was stored %d times", n)
				}
			}
			idle(t, sends)
		})
	}
}
