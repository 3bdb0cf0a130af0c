package transporttest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
)

func concurrencyTests() []test {
	return []test{
		{
			"concurrency/claims", "All methods may be called concurrently; a lease goes to one worker. (Transport)",
			0, concurrentClaims,
		},
		{
			"concurrency/senders and workers", "All methods may be called concurrently. What is accepted is delivered, and its verdict counts once. (Transport, promise 1)",
			0, concurrentSenders,
		},
		{
			"concurrency/keys", "A key goes to one of those who ask for it at the same time. (S4)",
			keys, concurrentKeys,
		},
		{
			"concurrency/groups", "Messages of one group are handled one at a time. (S5)",
			groups, concurrentGroups,
		},
	}
}

// workers runs n goroutines that claim with claims of most, until want messages have been handled or
// no more come.
func (k *kit) workers(n, most, want int, handle func(worker string, ds []symphony.Delivery)) {
	k.Helper()
	all, cancel := context.WithCancel(k.ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	handled := 0
	for i := range n {
		wg.Go(func() {
			worker := fmt.Sprintf("worker-%d", i)
			for {
				ctx, end := context.WithTimeout(all, patience)
				ds, err := k.Transport.Receive(ctx, claim(worker, most))
				end()
				if err != nil {
					return
				}
				handle(worker, ds)
				mu.Lock()
				if handled += len(ds); handled >= want {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if handled != want {
		k.Fatalf("%d deliveries came, want %d", handled, want)
	}
}

func concurrentClaims(k *kit) {
	const n = 2000
	envs := make([]*symphony.Envelope, n)
	for i := range envs {
		envs[i] = message()
	}
	k.sendAll(envs)
	var mu sync.Mutex
	times := make(map[symphony.ID]int)
	k.workers(8, 20, n, func(_ string, ds []symphony.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range ds {
			times[d.Envelope.ID]++
		}
	})
	for _, env := range envs {
		if times[env.ID] != 1 {
			k.Fatalf("message %s was delivered %d times, want once", env.ID, times[env.ID])
		}
	}
}

func concurrentSenders(k *kit) {
	const senders, each = 4, 50
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				if _, err := k.Transport.Send(k.ctx, []*symphony.Envelope{message()}); err != nil {
					k.Errorf("Send: %v", err)
				}
			}
		})
	}
	var mu sync.Mutex
	times := make(map[symphony.ID]int)
	k.workers(4, 5, 2*senders*each, func(worker string, ds []symphony.Delivery) {
		for _, d := range ds {
			o := symphony.Completed
			if d.Envelope.Attempt == 1 {
				o = symphony.Retried
			}
			if err := k.Transport.Settle(k.ctx, []symphony.Verdict{verdict(d, o)}); err != nil {
				k.Errorf("Settle: %v", err)
			}
			if _, err := k.Transport.Renew(k.ctx, worker, nil); err != nil {
				k.Errorf("Renew: %v", err)
			}
			mu.Lock()
			times[d.Envelope.ID]++
			mu.Unlock()
		}
	})
	wg.Wait()
	for id, n := range times {
		if n != 2 {
			k.Errorf("message %s was delivered %d times, want twice", id, n)
		}
	}
	k.lapse()
	k.takeOnly("w")
}

func concurrentKeys(k *kit) {
	var mu sync.Mutex
	var stored []symphony.ID
	named := make(map[symphony.ID]int)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			r, err := k.Transport.Send(k.ctx, []*symphony.Envelope{message(keyed("k", time.Hour))})
			if err != nil {
				k.Errorf("Send: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			named[r[0].ID]++
			if !r[0].Duplicate {
				stored = append(stored, r[0].ID)
			}
		})
	}
	wg.Wait()
	if len(stored) != 1 || named[stored[0]] != 20 {
		k.Fatalf("%d of 20 messages with one key were stored, want 1; named were %v", len(stored), named)
	}
	if id := k.take("w").Envelope.ID; id != stored[0] {
		k.Fatalf("message %s came, want the stored one, %s", id, stored[0])
	}
	k.takeOnly("w")
}

func concurrentGroups(k *kit) {
	const n, of = 120, 6
	envs := make([]*symphony.Envelope, n)
	place := make(map[symphony.ID]int)
	for i := range envs {
		envs[i] = message(grouped(fmt.Sprint(i % of)))
		place[envs[i].ID] = i / of
	}
	k.send(envs...)
	var mu sync.Mutex
	running, next := make(map[string]bool), make(map[string]int)
	k.workers(8, 3, n, func(_ string, ds []symphony.Delivery) {
		for _, d := range ds {
			group := d.Envelope.Group
			mu.Lock()
			if running[group] || place[d.Envelope.ID] != next[group] {
				k.Errorf("group %s: number %d came while number %d was next; another was running: %v", group, place[d.Envelope.ID], next[group], running[group])
			}
			running[group] = true
			mu.Unlock()
		}
		for _, d := range ds {
			mu.Lock()
			running[d.Envelope.Group] = false
			next[d.Envelope.Group]++
			mu.Unlock()
			if err := k.Transport.Settle(k.ctx, []symphony.Verdict{done(d)}); err != nil {
				k.Errorf("Settle: %v", err)
			}
		}
	})
}
