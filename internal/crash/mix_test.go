//go:build unix

package main

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
)

// envelopes returns what a bus makes of the messages of a mix.
func envelopes(t *testing.T, m mix) (all []symphony.Envelope) {
	t.Helper()
	bus := &symphony.Bus{Sending: []symphony.Middleware{func(symphony.Handler) symphony.Handler {
		return func(_ context.Context, env *symphony.Envelope) error {
			all = append(all, *env)
			return nil
		}
	}}}
	for n := range m.Jobs / producers {
		if _, err := bus.Dispatch(t.Context(), m.draw(n, fmt.Sprint(n)).message); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestMix: everything that a message can wish for and a handler can do is there, about as often as it should be.
func TestMix(t *testing.T) {
	m := mix{Seed: 1, Jobs: 8000}
	all := envelopes(t, m)
	seen := map[string]int{}
	keys := map[string]int{}
	groups := map[string]bool{}
	for _, env := range all {
		var does behaviour
		switch message := env.Message.(type) {
		case task:
			does = message.Does
		case txTask:
			does = message.Does
		case ownTxTask:
			does = message.Does
		}
		seen[string(does)]++
		seen[env.Type]++
		seen[env.Queue]++
		for wish, has := range map[string]bool{
			"group": env.Group != "", "key": env.Key != "", "delay": env.Delay > 0, "at": !env.At.IsZero(),
			"expires": env.Expires > 0, "retries": env.MaxRetries != nil, "priority": env.Priority != 5,
		} {
			if has {
				seen[wish]++
			}
		}
		if env.Key != "" {
			keys[env.Key]++
		}
		groups[env.Group] = true
	}
	for wish, percent := range map[string]int{
		string(succeeds): 52, string(failsTwice): 10, string(panics): 2, string(waits): 3, string(snoozes): 4, string(gives): 3,
		string(exhausts): 2, string(stubborn): 11, string(forgets): 1, "crash.task": 75, "crash.tx": 15, "crash.own-tx": 10,
		"default": 80, spare: 20, "group": 10, "key": 5, "delay": 5, "at": 1, "expires": 2, "retries": 2, "priority": 9,
	} {
		got := 100 * seen[wish] / len(all)
		if seen[wish] == 0 || got < percent/2 || got > 2*percent+1 {
			t.Errorf("%s: %d of %d, want about %d %%", wish, seen[wish], len(all), percent)
		}
	}
	if len(groups) != 41 { // with none
		t.Errorf("%d groups, want 40", len(groups)-1)
	}
	if len(keys) < m.Jobs/80 {
		t.Errorf("only %d keys", len(keys))
	}
}

// TestMixRepeats: a seed repeats all choices, also those of a producer that takes the place of another.
func TestMixRepeats(t *testing.T) {
	m := mix{Seed: 5, Jobs: 2000}
	ways := map[way]int{}
	for n := range m.Jobs / producers {
		a, b := m.draw(n, "x"), m.draw(n, "x")
		w, size := m.next(n)
		w2, size2 := m.next(n)
		if a.cancel != b.cancel || w != w2 || size != size2 || size < 1 || n+size > m.Jobs/producers {
			t.Fatalf("message %d: drawn as %v, %v, %d and then as %v, %v, %d", n, a.cancel, w, size, b.cancel, w2, size2)
		}
		ways[w]++
	}
	if len(ways) != 4 {
		t.Errorf("sends in the ways %v, want four", ways)
	}
	first, second := envelopes(t, m), envelopes(t, m)
	for i, a := range first {
		b := second[i]
		a.ID, b.ID = symphony.ID{}, symphony.ID{}
		if a.At.IsZero() != b.At.IsZero() {
			t.Errorf("message %d: due at %v and %v", i, a.At, b.At)
		}
		a.At, b.At = time.Time{}, time.Time{}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("message %d: %+v, then %+v", i, a, b)
		}
	}
	m.Producer = 1
	if reflect.DeepEqual(envelopes(t, m)[0].Message, first[0].Message) && reflect.DeepEqual(envelopes(t, m)[1].Message, first[1].Message) {
		t.Error("both producers send the same")
	}
}

func TestLeastBackoff(t *testing.T) {
	for failures := 1; failures <= maxRetries; failures++ {
		least := leastBackoff(failures)
		if least <= 0 {
			t.Errorf("after %d failures: %v", failures, least)
		}
		for range 1000 {
			if wait := retryPolicy().Wait(failures); wait < least {
				t.Fatalf("after %d failures the policy waits %v, less than %v", failures, wait, least)
			}
		}
	}
}
