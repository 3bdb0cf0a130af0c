package sqlite

import (
	"cmp"
	"maps"
	"slices"

	"github.com/symphony-messenger/symphony/monitor"
)

// A statKey is one counter of messenger_stats.
type statKey struct {
	queue, typ string
	status     monitor.Status
}

// noHandler is no state of its own: it counts messages that are scheduled because no worker had a
// handler.
const noHandler monitor.Status = "no_handler"

// count changes a counter in the same transaction as what it counts; the changes of a transaction
// are added up and written once.
func (q *queries) count(queue, typ string, status monitor.Status, n int64) {
	if q.stats == nil {
		q.stats = make(map[statKey]int64)
	}
	q.stats[statKey{queue, typ, status}] += n
}

// move counts a message from one state to another.
func (q *queries) move(queue, typ string, from, to monitor.Status) {
	q.count(queue, typ, from, -1)
	q.count(queue, typ, to, 1)
}

// flush writes the counters, in a fixed order.
func (q *queries) flush() error {
	keys := slices.SortedFunc(maps.Keys(q.stats), func(a, b statKey) int {
		return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.typ, b.typ), cmp.Compare(a.status, b.status))
	})
	for _, k := range keys {
		if n := q.stats[k]; n != 0 {
			if err := q.exec(sqlCount, k.queue, k.typ, string(k.status), n); err != nil {
				return err
			}
		}
	}
	clear(q.stats)
	return nil
}
