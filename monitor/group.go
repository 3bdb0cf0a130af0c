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
