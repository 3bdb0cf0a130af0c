// Package search makes pages of messages, for stores that have them in three places and read them in portions.
package search

import (
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
type Hit struct {
	ID    symphony.ID
	Place Place
}

// Rows is how many rows one statement reads: between two, a search that takes long stops.
const Rows = 2000

// A Portion is what one statement has found.
type Portion struct {
	Read int         // rows, Rows at most
	Last symphony.ID // of those
	Hits []Hit
}

// A Store reads, all in one transaction.
type Store interface {
	// Portion reads the next rows with IDs between two, both excluded, and returns those that match, most of them at most.
	Portion(above, below symphony.ID, most int) (Portion, error)
	// Records returns the messages with ids at a place, in any order.
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
	var all []Hit
	for begun := time.Now(); ; {
		most := s.Most() - len(all)
		p, err := store.Portion(above, below, most)
		if err != nil {
			return page, err
		}
		page.Read += p.Read
		all = append(all, p.Hits...)
		switch {
		case len(p.Hits) == most:
			page.Cursor = monitor.CursorAfter(all[len(all)-1].ID)
		case p.Read < Rows:
		case page.Read+Rows > monitor.SearchRows || time.Since(begun) > monitor.SearchTime:
			page.Cursor = monitor.CursorAfter(p.Last)
		default:
			*next = p.Last
			continue
		}
		page.Records, err = recordsOf(store, all)
		return page, err
	}
}

// recordsOf reads the messages that were found, in that order.
func recordsOf(store Store, all []Hit) ([]monitor.Record, error) {
	ids := make(map[Place][]symphony.ID)
	for _, h := range all {
		ids[h.Place] = append(ids[h.Place], h.ID)
	}
	got := make(map[Hit]monitor.Record, len(all))
	for place, ids := range ids {
		some, err := store.Records(place, ids)
		if err != nil {
			return nil, err
		}
		for _, r := range some {
			got[Hit{r.ID, place}] = r
		}
	}
	list := make([]monitor.Record, 0, len(all))
	for _, h := range all {
		if r, ok := got[h]; ok {
			list = append(list, r)
			delete(got, h) // it may have ended twice
		}
	}
	return list, nil
}

// Oldest turns a statement that lists the latest messages first round: it names both directions wherever it sorts.
func Oldest(latest string) string { return turn.Replace(latest) }

var turn = strings.NewReplacer(" desc ", " asc ", " asc ", " desc ")

// NumberCursor makes the cursor of a page whose last row has a number.
func NumberCursor(n int64) string { return strconv.FormatInt(n, 16) }

// Number reads it; nil for the first page. It returns an *[symphony.InvalidError] for what is no such cursor.
func Number(cursor string) (any, error) {
	if cursor == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(cursor, 16, 64)
	if err != nil {
		return nil, &symphony.InvalidError{What: "cursor", Value: cursor, Rule: "that of a page"}
	}
	return n, nil
}
