package gather_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/symphony-messenger/symphony/internal/gather"
)

func woken[T any](b *gather.Basket[T]) bool {
	select {
	case <-b.Wake():
		return true
	default:
		return false
	}
}

func TestWakesForTheFirstAndTheLast(t *testing.T) {
	b := gather.New[int]()
	b.Expect(3)
	for i, want := range []bool{true, false, true} {
		b.Put(i)
		if got := woken(b); got != want {
			t.Errorf("item %d of 3: woken %v, want %v", i+1, got, want)
		}
	}
	if items, underWay := b.Len(); items != 3 || underWay != 0 {
		t.Errorf("got %d items and %d under way, want 3 and 0", items, underWay)
	}
	if got := b.Take(nil); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("took %v", got)
	}
	b.Expect(2)
	b.Put(9)
	if !woken(b) {
		t.Error("the first item after Take does not wake")
	}
}

func TestTakerMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rounds, each = 50, 20
		b := gather.New[int]()
		var wg sync.WaitGroup
		defer wg.Wait()
		var free []int
		seen := make(map[int]bool)
		for r := range rounds {
			b.Expect(each)
			for i := range each {
				wg.Go(func() { b.Put(r*each + i) })
			}
			for n := 0; n < each; {
				<-b.Wake() // a missed wake-up is a deadlock, which the bubble reports
				taken := b.Take(free)
				for _, item := range taken {
					if seen[item] {
						t.Fatalf("item %d was taken twice", item)
					}
					seen[item] = true
				}
				n += len(taken)
				free = taken
			}
		}
		if len(seen) != rounds*each {
			t.Errorf("took %d items, want %d", len(seen), rounds*each)
		}
	})
}
