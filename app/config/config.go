// Package config reads what people set: a YAML file, the environment and the flags of a command. It
// knows every key, refuses all others, and can say of each value where it comes from. It opens nothing.
//
// A flag goes before the environment, that before the file, and that before the default. [Keys] lists
// what can be set.
package config

import (
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
)

// A Config is everything that can be set, checked, with the defaults filled in.
type Config struct {
	Transport  string      // name of the one that messages without a route take
	Transports []Transport // in the order of the file; that one is among them, unless there is no DSN at all
	Routes     []Route
	Handlers   []Handler
	Schedules  string // path of a file of schedules; "": none
	Worker     Worker
	Retry      Retry // of handlers, where neither transport nor queue nor handler say otherwise
	BodyLimit  int   // bytes; 0: the bus's own default
	Log        Log

	SchedulesFrom Origin // of Schedules

	settings []Setting
	notes    []string
}

// A Transport is one store.
type Transport struct {
	Name      string
	DSN       string
	From      Origin        // of the DSN
	History   string        // full, meta or off
	Retention time.Duration // of history
	Retry     Retry
	Queues    []Queue // what a worker serves, in the order of the file; none: "default"

	declared bool
}

// Declared says that the file has t, and not only a DSN that stands for all there is.
func (t Transport) Declared() bool { return t.declared }

// A Queue is one of those that a worker serves.
type Queue struct {
	Name        string
	Weight      int    // 0: 1
	Concurrency int    // 0: all of the worker's
	Retry       *Retry // nil: that of the transport
}

// Sync is the name of the transport that is none: a route to it has messages handled in place.
const Sync = "sync"

// A Route says what becomes of messages of some types when they are dispatched.
type Route struct {
	Type      string // or a prefix that ends in "*"
	Transport string // "": the default one; or [Sync]
	Queue     string
	Stamps    []symphony.Stamp
}

// A Handler is a program that handles messages of one type.
type Handler struct {
	Type    string
	Exec    string        // the command line
	From    Origin        // of Exec
	Timeout time.Duration // of an attempt; 0: none
	AtMost  int           // at once in one worker; 0: as many as it runs
	Retry   *Retry        // nil: that of queue or transport
}

// A Worker is what all workers of a process have in common.
type Worker struct {
	Name        string
	Concurrency int
	Lease       time.Duration
	Grace       time.Duration
	Strict      bool // queues in the order of the file, instead of by weights
	MaxCrashes  int
	Unknown     time.Duration
	Limits      symphony.Limits
}

// A Log is how a program logs.
type Log struct {
	Level  string // debug, info, warn or error; "": as the flags say
	Format string // text or json
}

// A Retry is a policy in which zero means zero.
type Retry struct {
	Max        int // retries after the first attempt; -1: without limit
	Delay      time.Duration
	Multiplier float64
	Cap        time.Duration // 0: none
	Jitter     float64
}

// Next implements [symphony.RetryPolicy].
func (r Retry) Next(failures int, _ error) (time.Duration, bool) {
	e := retry.Exponential{Delay: r.Delay, Multiplier: r.Multiplier, Cap: r.Cap, Jitter: r.Jitter}
	if e.Delay == 0 {
		e.Delay = -1 // none
	}
	if e.Jitter == 0 {
		e.Jitter = -1 // none
	}
	return e.Wait(failures), r.Max < 0 || failures <= r.Max
}

// A Setting is one value that is in force.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // as it would be written in the file; without secrets
	Origin Origin `json:"origin"`
}

// Settings lists every value that is in force: what has been set, and the defaults of what has not. A
// password is not shown, nor what came into a text by ${VARIABLE}.
func (c *Config) Settings() []Setting { return c.settings }

// Notes lists what is allowed and yet probably not meant, each in a sentence.
func (c *Config) Notes() []string { return c.notes }

// Find returns the transport of a name.
func (c *Config) Find(name string) (Transport, bool) {
	for _, t := range c.Transports {
		if t.Name == name {
			return t, true
		}
	}
	return Transport{}, false
}
