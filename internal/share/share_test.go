package share_test

import (
	"slices"
	"testing"

	"github.com/symphony-messenger/symphony/internal/share"
)

// claim simulates a store: it takes up to size messages from the queues in the order of the claim.
func claim(q *share.Queues, backlog map[string]int, size int) map[string]int {
	got := make(map[string]int)
	for _, part := range q.Claim() {
		n := min(size, backlog[part.Name])
		if part.Max > 0 {
			n = min(n, part.Max)
		}
		for range n {
			q.Took(part.Name)
		}
		got[part.Name] = n
		backlog[part.Name] -= n
		size -= n
	}
	return got
}

func giveAll(q *share.Queues, got map[string]int) {
	for name, n := range got {
		for range n {
			q.Gave(name)
		}
	}
}

func TestWeightsShareClaims(t *testing.T) {
	for _, size := range []int{1, 7, 100} {
		q := share.New(false)
		q.Add("heavy", 3, 0)
		q.Add("light", 1, 0)
		backlog := map[string]int{"heavy": 1e6, "light": 1e6}
		total := make(map[string]int)
		for range 400 {
			got := claim(q, backlog, size)
			giveAll(q, got)
			for name, n := range got {
				total[name] += n
			}
		}
		if heavy, light := total["heavy"], total["light"]; heavy != 300*size || light != 100*size {
			t.Errorf("claims of %d: got %d of heavy and %d of light, want 3 to 1 of %d", size, heavy, light, 400*size)
		}
	}
}

func TestIdleQueueSavesNothingUp(t *testing.T) {
	q := share.New(false)
	q.Add("a", 1, 0)
	q.Add("b", 1, 0)
	backlog := map[string]int{"a": 1000}
	for range 50 {
		giveAll(q, claim(q, backlog, 10)) // b has nothing
	}
	backlog["a"], backlog["b"] = 1000, 1000
	got := make(map[string]int)
	for range 10 {
		for name, n := range claim(q, backlog, 10) {
			got[name] += n
		}
	}
	if got["a"] != 50 || got["b"] != 50 {
		t.Errorf("after b was empty for long: got %v, want 50 of each", got)
	}
}

func TestLaterQueuesFillTheRest(t *testing.T) {
	q := share.New(false)
	q.Add("a", 1, 0)
	q.Add("b", 1, 0)
	got := claim(q, map[string]int{"a": 3, "b": 100}, 10)
	if got["a"] != 3 || got["b"] != 7 {
		t.Errorf("got %v, want 3 of a and 7 of b", got)
	}
}

func TestStrictKeepsTheListedOrder(t *testing.T) {
	q := share.New(true)
	q.Add("first", 1, 0)
	q.Add("second", 9, 0)
	backlog := map[string]int{"first": 25, "second": 100}
	for i, want := range []int{10, 10, 5, 0} {
		if got := claim(q, backlog, 10); got["first"] != want || got["second"] != 10-want {
			t.Errorf("claim %d: got %v, want %d of first", i, got, want)
		}
	}
}

func TestFullQueueIsLeftOut(t *testing.T) {
	q := share.New(false)
	q.Add("small", 1, 2)
	q.Add("big", 1, 0)
	if got, want := q.Claim(), []share.Part{{Name: "small", Max: 2}, {Name: "big"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	q.Took("small")
	if got := q.Claim(); !slices.Contains(got, share.Part{Name: "small", Max: 1}) {
		t.Errorf("one in hand: got %v, want room for one", got)
	}
	q.Took("small")
	if got, want := q.Claim(), []share.Part{{Name: "big"}}; !slices.Equal(got, want) || q.Open() != 1 {
		t.Errorf("two in hand: got %v and %d open, want %v", got, q.Open(), want)
	}
	q.Gave("small")
	if got := q.Claim(); !slices.Contains(got, share.Part{Name: "small", Max: 1}) || q.Open() != 2 {
		t.Errorf("one given back: got %v, want room for one", got)
	}
}

func TestNames(t *testing.T) {
	q := share.New(false)
	if !q.Add("a", 1, 0) || q.Add("a", 5, 1) {
		t.Error("a name is new once")
	}
	q.Took("unknown") // as when a store answers with an alias: no effect, no panic
	q.Gave("unknown")
	if got := q.Claim(); !slices.Equal(got, []share.Part{{Name: "a"}}) {
		t.Errorf("got %v, want a without a limit", got)
	}
}
