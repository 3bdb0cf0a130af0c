// Package schedule dispatches messages at times: once, by a cron expression, at an interval, or when a
// [Trigger] of your own says so.
//
//	s := &schedule.Scheduler{Bus: bus, Owner: "shop"}
//	s.Add("nightly-report", schedule.Cron("0 3 * * *", "Europe/Berlin"), ReportNightly{})
//	s.Add("poll-bank", schedule.Every(15*time.Minute), PollBank{}, schedule.WithOverlap(schedule.OverlapSkip))
//	err := s.Run(ctx)
//
// # Ticks
//
// A schedule is a row in the store of the bus. A tick is one of the times that its trigger names. When the
// store's clock has reached a tick, one of the schedulers that run, in any number of processes, locks
// the row, and in one transaction writes the tick, the message with its copies for
// subscribers, and the next tick. There is no leader, and a tick fires once: a process that is killed or paused
// on the way has written everything or nothing. The messages are ordinary ones, handled by workers; in the
// handler [TickFrom] says which tick it is.
//
// # Missed and overlapping runs
//
// Ticks that passed while nobody could fire them are missed; a schedule's [Missed] says which of them
// run all the same. Its [Overlap] says what happens at a tick while the message of one before still lives. What did
// not run is recorded as well: see [Manager.Ticks].
//
// # Owners
//
// The schedules of a program belong to its owner, such as "shop". [Scheduler.Run] makes the store have those
// that the program declares: it adds new ones, changes those that are declared differently now, and ends those that
// are declared no more. It touches nothing of other owners: many services may share one
// database. What people change in the meantime, see [Manager.Edit], lasts until the declaration itself changes; whether a schedule
// is paused they alone decide.
package schedule
