package monitor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A FailedGroup is dead letters that failed alike: they have one fingerprint.
type FailedGroup struct {
	Fingerprint string          `json:"fingerprint"`
	Type        string          `json:"type"`
	Class       string          `json:"error_class"`
	Reason      symphony.Reason `json:"reason"` // of the latest
	Count       int64           `json:"count"`
	First       time.Time       `json:"first_failed_at"`
	Last        time.Time       `json:"last_failed_at"`
	Sample      symphony.ID     `json:"sample"` // the latest
	Error       string          `json:"error"`  // of the latest
}

// A GroupPage is the groups of some dead letters.
type GroupPage struct {
	Groups []FailedGroup `json:"groups"` // the largest first
	Cursor string        `json:"cursor,omitempty"`
	Read   int           `json:"read"` // dead letters that were looked at
}

// A Grouper groups dead letters.
type Grouper interface {
	// FailedGroups groups dead letters, from the latest on: [SearchRows] of them at most. The cursor goes on with older ones, for
	// [MergeGroups]. Of f it uses Type, Queue, Reason, Class, Since, Until and Cursor.
	FailedGroups(ctx context.Context, f Filter) (GroupPage, error)
}

// MergeGroups adds the groups of older dead letters to those of later ones.
func MergeGroups(later, older []FailedGroup) []FailedGroup {
	merged := slices.Clone(later)
	at := make(map[string]int, len(merged))
	for i, g := range merged {
		at[g.Fingerprint] = i
	}
	for _, g := range older {
		i, ok := at[g.Fingerprint]
		if !ok {
			at[g.Fingerprint] = len(merged)
			merged = append(merged, g)
			continue
		}
		merged[i].Count += g.Count
		merged[i].First = g.First
	}
	SortGroups(merged)
	return merged
}

// SortGroups puts the largest groups first.
func SortGroups(gs []FailedGroup) {
	slices.SortFunc(gs, func(a, b FailedGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
}

// Health is what there is to know about the store itself.
type Health struct {
	Tables  []Table  `json:"tables,omitempty"`
	Holders []Holder `json:"holders,omitempty"` // the oldest first
	Files   []File   `json:"files,omitempty"`
}

// A Table is one table of the store, with its indexes and, if it has some, its partitions.
type Table struct {
	Name     string    `json:"name"`
	Bytes    int64     `json:"bytes"`
	Rows     int64     `json:"rows"`                 // about
	Dead     int64     `json:"dead_rows"`            // about: versions that nobody needs any more, and that were not removed yet
	Vacuumed time.Time `json:"vacuumed_at,omitzero"` // last, by whomever
	Parts    int       `json:"partitions,omitempty"`
}

// A Holder is something because of which dead rows cannot be removed: a transaction that has been open for long, one that is
// prepared, or a replica. Claims must step over such rows.
type Holder struct {
	Kind  string        `json:"kind"` // transaction, prepared or replica
	Name  string        `json:"name"` // the application, the prepared transaction, the slot
	PID   int           `json:"pid,omitempty"`
	State string        `json:"state,omitempty"`
	Age   time.Duration `json:"-"`               // how long a transaction has been open; 0: unknown
	Held  int64         `json:"transactions"`    // that began since
	Query string        `json:"query,omitempty"` // its last statement, as far as the user of the store may see it
	Ours  bool          `json:"ours,omitempty"`  // it is the store's own
}

// A File is one file of a store.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Free  int64  `json:"free_bytes,omitempty"` // inside it
}

// A Doctor examines the store itself.
type Doctor interface {
	// Health returns what the user of the store may see.
	Health(ctx context.Context) (Health, error)
}
