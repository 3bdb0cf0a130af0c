package monitor

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"
	"time"
)

// A Minute is what workers did in one minute, by the store's clock, with the messages of a type in a queue. A worker
// adds to it every two seconds: what one did since is lost with it when it is killed. Counts of messages never are.
type Minute struct {
	At        time.Time `json:"at"` // its begin
	Queue     string    `json:"queue"`
	Type      string    `json:"type"`
	Completed int64     `json:"completed"`
	Retried   int64     `json:"retried"` // failed, and to be tried again
	Failed    int64     `json:"failed"`  // became dead letters
	Other     int64     `json:"other"`   // snoozed, cancelled, or put back
	Wait      Histogram `json:"-"`       // from being due to being claimed
	Run       Histogram `json:"-"`       // of the handler
}

// Attempts is how many attempts ended.
func (m *Minute) Attempts() int64 { return m.Completed + m.Retried + m.Failed + m.Other }

// Add adds what another one counts.
func (m *Minute) Add(o Minute) {
	m.Completed += o.Completed
	m.Retried += o.Retried
	m.Failed += o.Failed
	m.Other += o.Other
	m.Wait = m.Wait.Merge(o.Wait)
	m.Run = m.Run.Merge(o.Run)
}

// A Histogram counts durations: element 0 those below 128 µs, and each further one a range whose end is about a fifth
// above its begin, four to each doubling. It ends with its last count that is not zero.
type Histogram []int64

// Bounds of the buckets, in microseconds: shortest is where the second begins.
const (
	shortestBits = 7 // 128 µs
	perDoubling  = 4
	maxBuckets   = 1 + (41-shortestBits)*perDoubling // up to 25 days
)

func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 1<<shortestBits {
		return 0
	}
	exp := bits.Len64(us) - 1
	sub := int(us>>(exp-2)) & 3
	return min(1+(exp-shortestBits)*perDoubling+sub, maxBuckets-1)
}

// begin returns where a bucket begins.
func begin(bucket int) time.Duration {
	if bucket == 0 {
		return 0
	}
	exp, sub := (bucket-1)/perDoubling+shortestBits, (bucket-1)%perDoubling
	return time.Duration((1<<exp)+(sub<<(exp-2))) * time.Microsecond
}

// Observe counts one duration and returns h, as append does.
func (h Histogram) Observe(d time.Duration) Histogram {
	b := bucketOf(d)
	if b >= len(h) {
		h = append(h, make(Histogram, b+1-len(h))...)
	}
	h[b]++
	return h
}

// Merge adds the counts of o and returns h, as append does.
func (h Histogram) Merge(o Histogram) Histogram {
	if len(o) > len(h) {
		h = append(h, make(Histogram, len(o)-len(h))...)
	}
	for i, n := range o {
		h[i] += n
	}
	return h
}

// Count is how many durations were counted.
func (h Histogram) Count() (n int64) {
	for _, c := range h {
		n += c
	}
	return n
}

// Quantile returns the duration that a part q of those counted, 0 to 1, does not exceed, within a tenth of it; zero when none was counted.
func (h Histogram) Quantile(q float64) time.Duration {
	all := h.Count()
	if all == 0 {
		return 0
	}
	rank := max(int64(math.Ceil(q*float64(all))), 1)
	for b, n := range h {
		if rank <= n {
			lo, hi := begin(b), begin(b+1)
			return lo + time.Duration(float64(hi-lo)*(float64(rank)-0.5)/float64(n))
		}
		rank -= n
	}
	return begin(len(h))
}

// Figures are what a store knows of how its workers do.
type Figures interface {
	// Minutes lists the minutes that begin at since or later and before until, in order of time, queue and type. The latest one is
	// not over; what it says is at most 5 s old. Minutes are kept for 48 h.
	Minutes(ctx context.Context, since, until time.Time) ([]Minute, error)
}

// KeepMinutes is how long stores keep the minutes of [Figures].
const KeepMinutes = 48 * time.Hour

// Sum adds up minutes by queue and type; At is the first one's.
func Sum(ms []Minute) []Minute {
	type key struct{ queue, typ string }
	at := make(map[key]int)
	var sums []Minute
	for _, m := range ms {
		k := key{m.Queue, m.Type}
		i, ok := at[k]
		if !ok {
			i = len(sums)
			at[k] = i
			sums = append(sums, Minute{At: m.At, Queue: m.Queue, Type: m.Type})
		}
		sums[i].Add(m)
	}
	slices.SortFunc(sums, func(a, b Minute) int { return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Type, b.Type)) })
	return sums
}
