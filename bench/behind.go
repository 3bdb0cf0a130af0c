package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Many messages at once are written straight into the table, as insert.sql writes them one by one: with a row for the counters, and
// with IDs that grow as those of a sender do, or the index of the IDs would be made in the worst order there is. Their times begin
// an hour from now, which keeps them apart from real ones. $1 is how many, $2 the body.
const (
	manyBehind = `with sent as (
	insert into symphony.messenger_messages (id, queue_name, message_type, status, created_at, available_at, body)
	select ` + manyID + `, 'default', 'bench.job', 'pending', c.now, c.now, $2::bytea
	from generate_series(1, $1::bigint) as i, (select symphony.clock() as now) c)
insert into symphony.messenger_stats_deltas (queue_name, message_type, due) values ('default', 'bench.job', $1::bigint)`

	manyDelayed = `with sent as (
	insert into symphony.messenger_messages (id, queue_name, message_type, status, created_at, scheduled_at, available_at, body)
	select ` + manyID + `, 'default', 'bench.job', 'scheduled', c.now, c.now + d.wait, c.now + d.wait, $2::bytea
	from generate_series(1, $1::bigint) as i, (select symphony.clock() as now) c,
		lateral (select interval '1 day' + i * interval '1 millisecond' as wait) d)
insert into symphony.messenger_stats_deltas (queue_name, message_type, scheduled) values ('default', 'bench.job', $1::bigint)`

	manyID = `(lpad(to_hex((extract(epoch from c.now) * 1000)::bigint + 3600000 + i / 1000), 12, '0') || '7' || lpad(to_hex(i % 1000), 3, '0')
		|| '8000' || lpad(to_hex(i), 12, '0'))::uuid`
)

// behind measures a drain with n.Behind more messages waiting behind those that count: claims must not become dearer.
func behind(ctx context.Context, s system, n sizes) ([]value, error) {
	return drainBeside(ctx, s, n, many{"drain_5m_behind", manyBehind, n.Behind})
}

// delayed measures a drain with n.Delayed more messages in the store that are not due: nobody may walk over them.
func delayed(ctx context.Context, s system, n sizes) ([]value, error) {
	return drainBeside(ctx, s, n, many{"drain_1m_delayed", manyDelayed, n.Delayed})
}

// many is what stands beside the messages to drain.
type many struct {
	figure, statement string
	count             int
}

// drainBeside measures two drains in one store, with nothing beside them and then with many, which takes half a minute to load. Between those of one figure
// and those of another, minutes apart, the machine may have become another one: a ratio of 0.75 in one run was 1.1 in the next.
func drainBeside(ctx context.Context, s system, n sizes, m many) ([]value, error) {
	y, ok := s.(*symphonySystem)
	if !ok {
		return nil, fmt.Errorf("%s is measured for %s only", m.figure, ours)
	}
	var values []value
	for _, beside := range []many{{figure: m.figure + alone}, m} {
		if err := load(ctx, s, n); err != nil {
			return nil, err
		}
		if beside.count > 0 {
			if err := y.loadMany(ctx, beside); err != nil {
				return nil, err
			}
		}
		took, err := drainBefore(ctx, s, n, beside.count)
		if err != nil {
			return nil, err
		}
		values = append(values, value{beside.figure, "msg/s", float64(n.Drain) / took.Seconds()})
	}
	return values, nil
}

// alone is what the name of the figure ends with that a drain beside many is compared with.
const alone = "_alone"

// drainBefore measures until the messages that count are handled. Others may be handled too: when the worker has ended, the store must have exactly
// what was not handled.
func drainBefore(ctx context.Context, s system, n sizes, others int) (took time.Duration, err error) {
	if err := stored(ctx, s, n.Drain+others); err != nil {
		return 0, err
	}
	seen := newTally(n.Drain)
	var handled atomic.Int64
	handle := func(j job) {
		if j.N < 0 {
			handled.Add(1)
		}
		seen.add(j.N)
	}
	began := time.Now()
	err = whileWorking(ctx, s, shift{handle: handle, do: func(ctx context.Context) error {
		err := seen.wait(ctx)
		took = time.Since(began)
		return err
	}})
	if err == nil {
		err = stored(ctx, s, others-int(handled.Load()))
	}
	return took, err
}

// loadMany writes messages that do not count, all with the same body, and lets the server get over it.
func (y *symphonySystem) loadMany(ctx context.Context, m many) error {
	body, err := json.Marshal(newJob(-1))
	if err != nil {
		return fmt.Errorf("load many: %w", err)
	}
	conn, err := pgx.Connect(ctx, y.at.database)
	if err != nil {
		return fmt.Errorf("load many: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, m.statement, m.count, body); err != nil {
		return fmt.Errorf("load %d messages: %w", m.count, err)
	}
	return y.tidy(ctx)
}
