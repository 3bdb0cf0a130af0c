package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symphony-messenger/symphony/schedule"
)

// Two schedulers share the work, as in two processes, and the schedules tick so often.
const (
	schedulers    = 2
	scheduleEvery = 100 * time.Second
)

// schedules measures how late ticks fire of many schedules that are spread evenly over their interval, while a worker handles their
// messages. A tick that is late counts from its time on, by the store's clock, and one that does not fire is an error.
func schedules(ctx context.Context, s system, n sizes) ([]value, error) {
	y, ok := s.(*symphonySystem)
	if !ok {
		return nil, fmt.Errorf("schedules are measured for %s only", ours)
	}
	all := make([]schedule.Schedule, n.Schedules)
	for i := range all {
		all[i] = schedule.Schedule{
			Name: fmt.Sprintf("s%07d", i), Kind: schedule.KindInterval, Expression: scheduleEvery.String(), Missed: schedule.MissedAll,
			Anchor:  time.UnixMilli(int64(i) * scheduleEvery.Milliseconds() / int64(n.Schedules)),
			Message: schedule.Message{Type: newJob(i).MessageType(), Body: fmt.Appendf(nil, `{"n":%d}`, i)},
		}
	}
	m := &schedule.Manager{Bus: y.bus}
	if _, err := m.Apply(ctx, ours, all, false); err != nil {
		return nil, err
	}
	if err := y.analyzeSchedules(ctx); err != nil {
		return nil, err
	}
	err := whileWorking(ctx, s, shift{handle: func(job) {}, takes: n.Scheduled, do: func(ctx context.Context) error {
		running, stop := context.WithTimeout(ctx, n.Scheduled)
		defer stop()
		errs := make([]error, schedulers)
		var rivals sync.WaitGroup
		for i := range errs {
			rivals.Go(func() { errs[i] = (&schedule.Scheduler{Bus: y.bus, Logger: quiet()}).Run(running) })
		}
		rivals.Wait()
		return errors.Join(errs...)
	}})
	if err != nil {
		return nil, err
	}
	return y.lags(ctx, n)
}

func (y *symphonySystem) analyzeSchedules(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, y.at.database)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "vacuum analyze symphony.messenger_schedules")
	return errors.Join(err, conn.Close(ctx))
}

// lags reads how late the ticks fired, without the first tenth of the time.
func (y *symphonySystem) lags(ctx context.Context, n sizes) ([]value, error) {
	conn, err := pgx.Connect(ctx, y.at.database)
	if err != nil {
		return nil, err
	}
	var p50, p99, most float64
	var fired, lost int
	err = conn.QueryRow(ctx, `with t as (
  select extract(epoch from recorded_at - tick_at) * 1000 as lag from symphony.messenger_ticks
  where outcome = 'fired' and recorded_at > (select min(recorded_at) from symphony.messenger_ticks) + $1 * interval '1 second')
select percentile_disc(0.5) within group (order by lag), percentile_disc(0.99) within group (order by lag), max(lag), count(*),
  (select count(*) from symphony.messenger_schedules s where s.missed_count > 0 or s.run_count <> (
    select count(*) from symphony.messenger_ticks t where t.schedule_name = s.name and t.outcome = 'fired'))
from t`, n.Scheduled.Seconds()/10).Scan(&p50, &p99, &most, &fired, &lost)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, fmt.Errorf("read the ticks: %w", err)
	}
	if lost > 0 {
		return nil, fmt.Errorf("%d schedules missed ticks, or have not those that they count", lost)
	}
	return []value{
		{"schedules_lag_p50", "ms", p50},
		{"schedules_lag_p99", "ms", p99},
		{"schedules_lag_max", "ms", most},
		{"schedules_fired", "msg/s", float64(fired) / (n.Scheduled.Seconds() * 0.9)},
	}, nil
}
