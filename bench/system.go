package main

import (
	"context"
	"strconv"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// A system is one queue on one fresh store. insert and insertMany return when the jobs are durable, as
// far as the store's settings make them so, and may be called concurrently.
type system interface {
	insert(ctx context.Context, j job) error
	insertMany(ctx context.Context, js []job) error
	// work runs handlers until ctx ends, and returns when all of them have.
	work(ctx context.Context, handle func(job)) error
	// left counts what the store has not recorded as done. It reads over a connection of its own.
	left(ctx context.Context) (int, error)
	close() error
}

// A probe looks at a system's store over a connection of its own, so that asking how much is left takes
// no turn of a connection that works.
type probe interface {
	left(ctx context.Context) (int, error)
	// tidy does for a store what time would: it is called when much has been loaded at once.
	tidy(ctx context.Context) error
	close() error
}

// A peer is a way to get a system: River or this project, on one store, with one set of settings.
type peer struct {
	name    string
	history string   // "on": what is done stays readable; "off": it is deleted
	figures []string // that it is measured for
	open    func(ctx context.Context, at place) (system, error)
}

// A place is where a peer puts its store, and how durable it must be. It is fresh and empty.
type place struct {
	sync     string           // "full" or "normal"; of PostgreSQL "on"
	dir      string           // of SQLite: a directory
	database string           // of PostgreSQL: the URL of a database
	server   *pgserver.Server // which has that database
}

// A job is the message of all figures: 200 bytes of JSON, for every system the same.
type job struct {
	N    int    `json:"n"`
	To   string `json:"to"`
	Text string `json:"text"`
}

const jobBytes = 200

// MessageType is the name of the type for Symphony.
func (job) MessageType() string { return "bench.job" }

// Kind is the name of the type for River.
func (job) Kind() string { return "bench.job" }

// newJob must cost next to nothing: it runs while the clock does.
func newJob(n int) job {
	number := strconv.Itoa(n)
	length := jobBytes - len(`{"n":,"to":"user-@example.com","text":""}`) - 2*len(number)
	return job{N: n, To: "user-" + number + "@example.com", Text: filler[:length]}
}

const (
	words  = "the quick brown fox jumps over the lazy dog and "
	filler = words + words + words + words + words
)

// newJobs returns n jobs, numbered from first on.
func newJobs(first, n int) []job {
	js := make([]job, n)
	for i := range js {
		js[i] = newJob(first + i)
	}
	return js
}
