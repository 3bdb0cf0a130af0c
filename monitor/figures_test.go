package monitor_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A quantile is one of the durations that were observed, within a tenth, or 128 µs.
func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := rapid.SliceOfN(rapid.Int64Range(0, int64(24*time.Hour)), 1, 200).Draw(t, "durations")
		q := rapid.Float64Range(0, 1).Draw(t, "quantile")
		var h monitor.Histogram
		for _, d := range ds {
			h = h.Observe(time.Duration(d))
		}
		slices.Sort(ds)
		rank := max(int(float64(len(ds))*q+0.999999999), 1)
		want, got := time.Duration(ds[min(rank, len(ds))-1]), h.Quantile(q)
		// The rank may fall on the neighbour, and a bucket is 25 % wide at its begin: its middle is within 12.5 %.
		lo, hi := time.Duration(ds[max(rank-2, 0)]), time.Duration(ds[min(rank, len(ds)-1)])
		if got < lo*8/10-128*time.Microsecond || got > hi*126/100+128*time.Microsecond {
			t.Fatalf("quantile %v of %d durations is %v, want about %v", q, len(ds), got, want)
		}
		if h.Count() != int64(len(ds)) {
			t.Fatalf("counted %d of %d", h.Count(), len(ds))
		}
	})
}

func TestHistogramEdges(t *testing.T) {
	var h monitor.Histogram
	if h.Quantile(0.5) != 0 || h.Count() != 0 {
		t.Error("a histogram of nothing has something")
	}
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 365 * 24 * time.Hour} {
		h = h.Observe(d)
	}
	if h[0] != 3 || h.Quantile(1) < 20*24*time.Hour {
		t.Errorf("%d below 128 µs, want 3; the longest is %v", h[0], h.Quantile(1))
	}
	long := h.Merge(monitor.Histogram{1, 1})
	if long.Count() != 6 {
		t.Errorf("merged %d, want 6", long.Count())
	}
}

func TestSum(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ms := []monitor.Minute{
		{At: at, Queue: "b", Type: "x", Completed: 1, Run: monitor.Histogram{1}},
		{At: at, Queue: "a", Type: "y", Failed: 1},
		{At: at.Add(time.Minute), Queue: "b", Type: "x", Completed: 2, Retried: 3, Other: 4, Run: monitor.Histogram{0, 5}},
	}
	want := []monitor.Minute{
		{At: at, Queue: "a", Type: "y", Failed: 1},
		{At: at, Queue: "b", Type: "x", Completed: 3, Retried: 3, Other: 4, Run: monitor.Histogram{1, 5}},
	}
	for range 2 { // it leaves its argument alone
		if diff := cmp.Diff(want, monitor.Sum(ms)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestMergeGroups(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	later := []monitor.FailedGroup{{Fingerprint: "a", Count: 3, First: at.Add(2), Last: at.Add(4), Error: "new"}, {Fingerprint: "b", Count: 2, Last: at}}
	older := []monitor.FailedGroup{{Fingerprint: "c", Count: 4, Last: at}, {Fingerprint: "b", Count: 9, First: at.Add(-9)}, {Fingerprint: "a", Count: 1, First: at, Last: at, Error: "old"}}
	want := []monitor.FailedGroup{
		{Fingerprint: "b", Count: 11, First: at.Add(-9), Last: at},
		{Fingerprint: "a", Count: 4, First: at, Last: at.Add(4), Error: "new"},
		{Fingerprint: "c", Count: 4, Last: at},
	}
	if diff := cmp.Diff(want, monitor.MergeGroups(later, older)); diff != "" {
		t.Error(diff)
	}
	if later[0].Count != 3 {
		t.Error("its argument has changed")
	}
}

func TestBulkCheck(t *testing.T) {
	b := monitor.Bulk{Action: monitor.ActionCancel}
	if err := b.Check(); err != nil || len(b.Search.Statuses) != 3 {
		t.Error(err, b.Search.Statuses)
	}
	for _, bad := range []monitor.Bulk{
		{},
		{Action: "eat"},
		{Action: monitor.ActionRetry, Search: monitor.Search{Statuses: []monitor.Status{monitor.Pending}}},
		{Action: monitor.ActionPriority},
		{Action: monitor.ActionReschedule, Due: monitor.Due{Delay: -1}},
		{Action: monitor.ActionDiscard, Search: monitor.Search{Cursor: "?"}},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v makes sense", bad)
		}
	}
}

// What a bulk stores is what it was.
func TestBulkInJSON(t *testing.T) {
	b := monitor.Bulk{
		ID: symphony.NewID(), Action: monitor.ActionReschedule, Due: monitor.Due{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Delay: time.Second}, State: monitor.BulkRunning, Done: rand.Int64(),
		Search: monitor.Search{
			Statuses: []monitor.Status{monitor.Pending}, Tag: "x", Body: monitor.BodyIs{Path: "a.b", Value: "1"},
			Conversation: symphony.NewID(), Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		},
	}
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var again monitor.Bulk
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, again); diff != "" {
		t.Error(diff)
	}
}

func TestSearchBounds(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	id := symphony.NewID()
	for name, c := range map[string]struct {
		search monitor.Search
		check  func(above, below string) bool
	}{
		"everything":       {monitor.Search{}, func(above, below string) bool { return above == symphony.ID{}.String() && below[:8] == "ffffffff" }},
		"the latest first": {monitor.Search{Cursor: monitor.CursorAfter(id)}, func(_, below string) bool { return below == id.String() }},
		"the oldest first": {monitor.Search{Cursor: monitor.CursorAfter(id), Oldest: true}, func(above, _ string) bool { return above == id.String() }},
		"a clock that is off": {
			monitor.Search{Since: at, Until: at.Add(time.Minute)},
			func(above, below string) bool { return above[:13] == "019b7936-e780" && below[:13] == "019b79a5-aee0" },
		},
	} {
		above, below, err := c.search.Bounds()
		if err != nil || !c.check(above.String(), below.String()) {
			t.Errorf("%s: between %s and %s, %v", name, above, below, err)
		}
	}
}
