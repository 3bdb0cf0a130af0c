package engine

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony/internal/share"
)

// A slowStore has a number of jobs and takes its time to find them. It keeps count of those that claims under way may bring.
type slowStore struct {
	mu               sync.Mutex
	left, asked, run int // jobs to be had; room that claims count on; running
	claims, most     int // claims under way, now and ever
	over             int // room that was promised twice
	concurrency      int
}

func (s *slowStore) claim(ctx context.Context, c Claim) ([]*Job[int], error) {
	s.mu.Lock()
	s.claims++
	s.asked += c.Max
	s.most = max(s.most, s.claims)
	s.over = max(s.over, s.asked+s.run-s.concurrency)
	s.mu.Unlock()
	time.Sleep(4 * time.Millisecond)
	s.mu.Lock()
	n := min(c.Max, s.left)
	s.left -= n
	s.mu.Unlock()
	if n == 0 {
		<-ctx.Done()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims--
	s.asked -= c.Max
	s.run += n
	js := make([]*Job[int], n)
	for i := range js {
		js[i] = &Job[int]{Queue: "q", Lease: time.Now().Add(time.Minute)}
	}
	return js, ctx.Err()
}

func (s *slowStore) engine(queues *share.Queues, limits Limits) *Engine[int] {
	e := endless(limits, func(*Job[int]) {
		time.Sleep(time.Millisecond)
		s.mu.Lock()
		s.run--
		s.mu.Unlock()
	})
	e.Concurrency, e.Queues, e.Exchange, e.Log = s.concurrency, queues, nil, slog.New(slog.DiscardHandler)
	e.Claim = s.claim
	return e
}

// TestClaimsAtOnce: a worker with much room looks for more while it still takes in what it got, but not for more than it has room for.
func TestClaimsAtOnce(t *testing.T) {
	queue := func(most int) *share.Queues {
		q := share.New(false)
		q.Add("q", 1, most)
		return q
	}
	for name, c := range map[string]struct {
		concurrency int
		queues      *share.Queues
		limits      Limits
		want        int // claims at once
		left, wait  int // jobs and claims, at the end
	}{
		"much room":           {300, queue(0), Limits{}, 3, 0, 1},
		"less room":           {200, queue(0), Limits{}, 2, 0, 1},
		"little room":         {10, queue(0), Limits{}, 1, 0, 1},
		"a limited queue":     {200, queue(150), Limits{}, 1, 0, 1},
		"so many and no more": {200, queue(0), Limits{Messages: 4000}, 1, 1000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slowStore{left: 5000, concurrency: c.concurrency}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() {
					_, err := s.engine(c.queues, c.limits).Run(ctx)
					ended <- err
				}()
				time.Sleep(time.Minute)
				synctest.Wait()
				s.mu.Lock()
				left, claims := s.left, s.claims
				s.mu.Unlock()
				if left != c.left || claims != c.wait {
					t.Errorf("%d jobs are left and %d claims wait, want %d and %d", left, claims, c.left, c.wait)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if s.most != c.want {
					t.Errorf("%d claims at once, want %d", s.most, c.want)
				}
				if s.over > 0 {
					t.Errorf("claims asked for %d more than there was room for", s.over)
				}
			})
		})
	}
}

// TestAnswersAfterTheEnd: all calls that can be under way outlast the engine, which hears none of their answers, and none of them waits for that.
func TestAnswersAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endless(Limits{}, func(*Job[int]) { time.Sleep(100 * time.Millisecond) })
		began := time.Now()
		calls := make(map[string]int)
		var mu sync.Mutex
		hang := func(name string) {
			if time.Since(began) > 10*time.Second {
				mu.Lock()
				calls[name]++
				mu.Unlock()
				time.Sleep(time.Until(began.Add(time.Minute)))
			}
		}
		claim := e.Claim
		e.Concurrency, e.Lease, e.Exchange = 300, 3*time.Second, nil
		e.Claim = func(ctx context.Context, c Claim) ([]*Job[int], error) {
			hang("claim")
			mu.Lock()
			defer mu.Unlock()
			return claim(ctx, c)
		}
		e.Settle = func(context.Context, []*Job[int]) error { hang("settle"); return nil }
		e.Renew = func(context.Context, []*Job[int]) (lost, cancelled []*Job[int], err error) {
			hang("renew")
			return nil, nil, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, _ = e.Run(ctx)
		if calls["claim"] != 3 || calls["settle"] != 1 || calls["renew"] != 1 {
			t.Errorf("calls that outlasted the engine: %v, want three claims and one of each other", calls)
		}
	})
}
