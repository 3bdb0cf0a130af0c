// Package search makes pages of messages, for stores that have them in three places and read them in portions.
package search

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// A Place is where a store has a message.
type Place int

// The places, as the stores' list.sql name them.
const (
	Live Place = iota + 1
	Failed
	Ended
)

// A Hit is a message that a search has found.
type Hit[K any] struct {
	Key   K // where it is in the order in which rows are read
	ID    symphony.ID
	Place Place
}

// Rows is how many rows one statement reads: between two, a search that takes long stops.
const Rows = 2000

// A Portion is what one statement has found.
type Portion[K any] struct {
	Read int // rows, Rows at most
	Last K   // of those
	Hits []Hit[K]
}

// A Store reads messages in the order of their IDs, all in one transaction.
type Store interface {
	// Portion reads the next rows with IDs between two, both excluded, and returns those that match, most of them at most.
	Portion(above, below symphony.ID, most int) (Portion[symphony.ID], error)
	// Records returns the messages with ids at a place, in any order.
	Records(at Place, ids []symphony.ID) ([]monitor.Record, error)
}

// A LetterStore reads dead letters in the order of their numbers, all in one transaction.
type LetterStore interface {
	// Portion reads the next rows with numbers below one, and returns those that match, most of them at most.
	Portion(below int64, most int) (Portion[int64], error)
	// Records returns the dead letters with ids, in any order.
	Records(at Place, ids []symphony.ID) ([]monitor.Record, error)
}

// Page reads portions until the page that s asks for is full, or as much was read as one call may.
func Page(store Store, s *monitor.Search) (page monitor.Page, err error) {
	above, below, err := s.Bounds()
	if err != nil {
		return page, err
	}
	next := &below
	if s.Oldest {
		next = &above
	}
	read := func(after symphony.ID, most int) (Portion[symphony.ID], error) {
		*next = after
		return store.Portion(above, below, most)
	}
	return reader[symphony.ID]{read, monitor.CursorAfter, store.Records}.page(*next, s.Most())
}

// Letters is Page for dead letters.
func Letters(store LetterStore, f *monitor.Filter) (page monitor.Page, err error) {
	below, err := Number(f.Cursor)
	if err != nil {
		return page, err
	}
	return reader[int64]{store.Portion, NumberCursor, store.Records}.page(below, f.Most())
}

// A reader is a store in one order.
type reader[K any] struct {
	portion func(after K, most int) (Portion[K], error)
	cursor  func(K) string
	records func(Place, []symphony.ID) ([]monitor.Record, error)
}

// page reads portions, the first one after a key, until there are as many records as there is room for.
func (r reader[K]) page(after K, room int) (page monitor.Page, err error) {
	var all []Hit[K]
	for begun := time.Now(); ; {
		most := room - len(all)
		p, err := r.portion(after, most)
		if err != nil {
			return page, err
		}
		page.Read += p.Read
		all = append(all, p.Hits...)
		switch {
		case len(p.Hits) == most:
			page.Cursor = r.cursor(all[len(all)-1].Key)
		case p.Read < Rows:
		case page.Read+Rows > monitor.SearchRows || time.Since(begun) > monitor.SearchTime:
			page.Cursor = r.cursor(p.Last)
		default:
			after = p.Last
			continue
		}
		page.Records, err = recordsOf(all, r.records)
		return page, err
	}
}

// recordsOf reads the messages that were found, in that order.
func recordsOf[K any](all []Hit[K], records func(Place, []symphony.ID) ([]monitor.Record, error)) ([]monitor.Record, error) {
	type where struct {
		id    symphony.ID
		place Place
	}
	ids := make(map[Place][]symphony.ID)
	for _, h := range all {
		ids[h.Place] = append(ids[h.Place], h.ID)
	}
	got := make(map[where]monitor.Record, len(all))
	for place, ids := range ids {
		some, err := records(place, ids)
		if err != nil {
			return nil, err
		}
		for _, r := range some {
			got[where{r.ID, place}] = r
		}
	}
	list := make([]monitor.Record, 0, len(all))
	for _, h := range all {
		at := where{h.ID, h.Place}
		if r, ok := got[at]; ok {
			list = append(list, r)
			delete(got, at) // it may have ended twice
		}
	}
	return list, nil
}

// Oldest turns a statement that lists the latest messages first round: it names both directions wherever it sorts.
func Oldest(latest string) string { return turn.Replace(latest) }

var turn = strings.NewReplacer(" desc ", " asc ", " asc ", " desc ")

// NumberCursor makes the cursor of a page whose last row has a number.
func NumberCursor(n int64) string { return strconv.FormatInt(n, 16) }

// Number reads it: the page has lower numbers. It returns an *[symphony.InvalidError] for what is no such cursor.
func Number(cursor string) (below int64, err error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	n, err := strconv.ParseInt(cursor, 16, 64)
	if err != nil {
		return 0, &symphony.InvalidError{What: "cursor", Value: cursor, Rule: "that of a page"}
	}
	return n, nil
}
