package main

import (
	"cmp"
	"time"
)

// settings are what a store is measured with. Zero values are those that the store has no use for.
type settings struct {
	Rounds   map[string]int    `json:"rounds"` // by figure
	Sizes    sizes             `json:"sizes"`
	River    riverSettings     `json:"river"`
	Symphony symphonySettings  `json:"symphony"`
	Server   map[string]string `json:"server,omitempty"` // as it says itself
}

// sizes says how much is done for each figure.
type sizes struct {
	Drain      int           `json:"drain"`        // messages, loaded beforehand
	Batch      int           `json:"batch"`        // messages in one call
	Goroutines int           `json:"goroutines"`   // that send batches
	For        time.Duration `json:"for_ns"`       // single and batch: for so long
	Rate       int           `json:"latency_rate"` // messages a second
	Latency    time.Duration `json:"latency_for_ns"`

	Behind    int           `json:"behind,omitempty"`  // messages that wait behind those to drain
	Delayed   int           `json:"delayed,omitempty"` // messages that are not due for a day
	Sustained time.Duration `json:"sustained_for_ns,omitempty"`
	Backlog   int           `json:"backlog,omitempty"` // sustained: messages that may wait
	Idle      time.Duration `json:"idle_for_ns,omitempty"`
	Offer     int           `json:"offer_rate,omitempty"` // claim: messages a second
	Offered   time.Duration `json:"offered_for_ns,omitempty"`
	Resident  time.Duration `json:"resident_after_ns,omitempty"`
	Schedules int           `json:"schedules,omitempty"` // each ticks every 100 s
	Scheduled time.Duration `json:"scheduled_for_ns,omitempty"`
}

// A scale is how much time a run may take.
type scale string

const (
	quick  scale = "quick"  // seconds: shows that everything runs, measures nothing
	normal scale = "normal" // 20 minutes
	full   scale = "full"   // three hours
)

func sqliteSettings(of scale) settings {
	s := settings{
		Sizes:    sizes{Drain: 20_000, Batch: 1000, Goroutines: 8, For: 2 * time.Second, Rate: 500, Latency: 5 * time.Second},
		River:    riverSettings{Workers: 500, Cooldown: 5 * time.Millisecond, Poll: 5 * time.Millisecond, Conns: 1},
		Symphony: symphonySettings{Concurrency: 500},
	}
	s.Rounds = rounds(sqliteFigures(), map[scale]int{quick: 1, normal: 3, full: 5}[of])
	switch of {
	case full:
		s.Sizes.Drain, s.Sizes.For, s.Sizes.Latency = 50_000, 3*time.Second, 10*time.Second
	case quick:
		s.Sizes = sizes{Drain: 300, Batch: 100, Goroutines: 4, For: 100 * time.Millisecond, Rate: 100, Latency: 300 * time.Millisecond}
	}
	return s
}

func postgresSettings(of scale) settings {
	s := settings{
		Sizes: sizes{
			Drain: 200_000, Batch: 1000, Goroutines: 2, For: 3 * time.Second, Rate: 1000, Latency: 15 * time.Second,
			Behind: 5_000_000, Delayed: 1_000_000, Sustained: time.Minute, Backlog: 20_000, Idle: 15 * time.Second,
			Offer: 7000, Offered: time.Minute, Resident: time.Minute, Schedules: 100_000, Scheduled: time.Minute,
		},
		River:    riverSettings{Workers: 1000, Cooldown: 2 * time.Millisecond, Poll: 20 * time.Millisecond, Conns: 20},
		Symphony: symphonySettings{Concurrency: 1000},
	}
	s.Rounds = rounds(postgresFigures(), map[scale]int{quick: 1, normal: 5, full: 5}[of])
	switch of {
	case normal: // the long ones are averages of much already
		s.Rounds["latency"], s.Rounds["drain_5m_behind"], s.Rounds["drain_1m_delayed"] = 3, 1, 1 // loading takes longest
		s.Rounds["idle_cpu"], s.Rounds["sustained"], s.Rounds["claim"], s.Rounds["rss_idle"], s.Rounds["schedules"] = 1, 1, 1, 1, 1
	case full:
		s.Sizes.Sustained = 10 * time.Minute
	case quick:
		s.Sizes = sizes{
			Drain: 300, Batch: 100, Goroutines: 2, For: 100 * time.Millisecond, Rate: 100, Latency: 300 * time.Millisecond,
			Behind: 1000, Delayed: 300, Sustained: 600 * time.Millisecond, Backlog: 1000, Idle: 300 * time.Millisecond,
			Offer: 5000, Offered: 1200 * time.Millisecond, Resident: 300 * time.Millisecond,
			Schedules: 20_000, Scheduled: 1500 * time.Millisecond,
		}
	}
	return s
}

func rounds(figures []figure, n int) map[string]int {
	all := make(map[string]int)
	for _, f := range figures {
		all[f.name] = n
	}
	return all
}

// with overrides settings by those of the command line that are not zero.
func (s settings) with(o *options) settings {
	if o.rounds > 0 {
		for name := range s.Rounds {
			s.Rounds[name] = o.rounds
		}
	}
	s.River.Workers = cmp.Or(o.river.Workers, s.River.Workers)
	s.River.Cooldown = cmp.Or(o.river.Cooldown, s.River.Cooldown)
	s.River.Poll = cmp.Or(o.river.Poll, s.River.Poll)
	s.River.PollOnly = o.river.PollOnly
	s.River.Conns = cmp.Or(o.river.Conns, s.River.Conns)
	s.Symphony.Concurrency = cmp.Or(o.symphony.Concurrency, s.Symphony.Concurrency)
	s.Sizes.Drain = cmp.Or(o.sizes.Drain, s.Sizes.Drain)
	s.Sizes.Goroutines = cmp.Or(o.sizes.Goroutines, s.Sizes.Goroutines)
	s.Sizes.For = cmp.Or(o.sizes.For, s.Sizes.For)
	s.Sizes.Latency = cmp.Or(o.sizes.Latency, s.Sizes.Latency)
	s.Sizes.Behind = cmp.Or(o.sizes.Behind, s.Sizes.Behind)
	s.Sizes.Delayed = cmp.Or(o.sizes.Delayed, s.Sizes.Delayed)
	s.Sizes.Sustained = cmp.Or(o.sizes.Sustained, s.Sizes.Sustained)
	s.Sizes.Offer = cmp.Or(o.sizes.Offer, s.Sizes.Offer)
	s.Sizes.Offered = cmp.Or(o.sizes.Offered, s.Sizes.Offered)
	s.Sizes.Schedules = cmp.Or(o.sizes.Schedules, s.Sizes.Schedules)
	s.Sizes.Scheduled = cmp.Or(o.sizes.Scheduled, s.Sizes.Scheduled)
	return s
}
