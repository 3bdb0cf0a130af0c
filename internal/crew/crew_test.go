package crew

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// However many tasks block, those after them run.
func TestTasksThatBlockHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		release := make(chan struct{})
		var started atomic.Int32
		for range 500 {
			c.Do(func() {
				started.Add(1)
				<-release
			})
		}
		synctest.Wait()
		if n := started.Load(); n != 500 {
			t.Errorf("%d of 500 tasks have started, and each blocks", n)
		}
		close(release)
		c.Close()
		c.Wait()
	})
}

func TestShortTasksShareFewGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	var c Crew
	var done atomic.Int32
	most := 0
	for range 200 {
		for range 500 {
			c.Do(func() { done.Add(1) })
		}
		most = max(most, runtime.NumGoroutine()-before)
	}
	c.Close()
	c.Wait()
	// One runs on each processor, and one is on the way, who may come late. A goroutine for each would be 500 and more; it was 363
	// when those who waited for the lock after a task called others.
	if n := done.Load(); n != 200*500 || most > 100 {
		t.Errorf("%d of %d tasks ran, on up to %d goroutines", n, 200*500, most)
	}
}

// Those who are back from a task and wait for the lock call nobody when they get it.
func TestWhoIsBackCallsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		release := make(chan struct{})
		for range 20 {
			c.Do(func() { <-release })
		}
		synctest.Wait()
		c.mu.Lock()
		close(release)
		for c.coming.Load() < 20 {
			runtime.Gosched()
		}
		for range 20 {
			c.tasks = append(c.tasks, func() {})
		}
		c.mu.Unlock()
		synctest.Wait()
		if n := len(c.parked); n != 20 {
			t.Errorf("%d goroutines are parked, of 20 who have found work", n)
		}
		c.Close()
		c.Wait()
	})
}

func TestTasksThatEndTheirGoroutines(t *testing.T) {
	var c Crew
	var done atomic.Int32
	for i := range 2000 {
		c.Do(func() {
			done.Add(1)
			if i%3 == 0 {
				runtime.Goexit()
			}
		})
	}
	c.Close()
	c.Wait()
	if n := done.Load(); n != 2000 {
		t.Errorf("%d of 2000 tasks ran", n)
	}
}

// Tasks come from many goroutines, alone and in bursts, with pauses in which everybody parks.
func TestEveryTaskRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		var senders sync.WaitGroup
		ran := make([]atomic.Int32, 4*1000)
		for s := range 4 {
			senders.Go(func() {
				for i := range 1000 {
					c.Do(func() {
						if ran[s*1000+i].Add(1); i%50 == 0 {
							time.Sleep(time.Millisecond)
						}
					})
					if i%100 == 0 {
						time.Sleep(time.Duration(s+1) * time.Second)
					}
				}
			})
		}
		senders.Wait()
		c.Close()
		c.Wait()
		for i := range ran {
			if n := ran[i].Load(); n != 1 {
				t.Fatalf("task %d ran %d times", i, n)
			}
		}
	})
}
