package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
)

// bareClaim is the least that a queue in rows can do: what is claimed is gone. It walks the index of our own claims, and answers what
// a handler would need.
const bareClaim = `delete from symphony.messenger_messages where ctid = any (array(
	select ctid from symphony.messenger_messages where queue_name = 'default' and status = 'pending' and waiting_for is null
	order by priority, seq limit 100 for update skip locked))
returning id, message_type, content_type, headers, body`

const bareConns = 4

// A bareSystem is our table, filled by our own sends, and emptied by four connections without a queue: no lease, no verdict, no
// history, no counters, no codec. Whatever a queue in this table does, it cannot be faster.
type bareSystem struct{ *symphonySystem }

func openBare(ctx context.Context, at place, o symphonyOptions) (system, error) {
	y, err := symphonyOnPostgres(ctx, at, o)
	if err != nil {
		return nil, err
	}
	return bareSystem{y}, nil
}

func (b bareSystem) work(ctx context.Context, handle func(job)) error {
	errs := make([]error, bareConns)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			if errs[i] = b.loop(ctx, handle); ctx.Err() != nil {
				errs[i] = nil // it looked whether there is more when it was all over
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// loop claims until there is nothing more.
func (b bareSystem) loop(ctx context.Context, handle func(job)) error {
	config, err := pgx.ParseConfig(b.at.database)
	if err != nil {
		return fmt.Errorf("open a bare connection: %w", err)
	}
	// As the transport has it: what the statistics say of a queue must not make it walk over the table.
	for _, name := range []string{"enable_seqscan", "enable_bitmapscan", "jit"} {
		config.RuntimeParams[name] = "off"
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("open a bare connection: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		n, err := bareTake(ctx, conn, handle)
		if err != nil {
			return fmt.Errorf("delete on claim: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

func bareTake(ctx context.Context, conn *pgx.Conn, handle func(job)) (n int, err error) {
	rows, err := conn.Query(ctx, bareClaim)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id [16]byte
		var kind, content string
		var headers, body []byte
		if err := rows.Scan(&id, &kind, &content, &headers, &body); err != nil {
			return n, err
		}
		number, err := numberIn(body)
		if err != nil {
			return n, err
		}
		handle(job{N: number})
		n++
	}
	return n, rows.Err()
}

// numberIn returns the number of a job, without decoding the rest.
func numberIn(body []byte) (int, error) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"n":`))
	number, _, found := bytes.Cut(rest, []byte(","))
	if !ok || !found {
		return 0, fmt.Errorf("body %.20q is not that of a job", body)
	}
	return strconv.Atoi(string(number))
}
