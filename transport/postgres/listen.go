package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// hear listens on one connection until that fails.
func (t *Transport) hear(ctx context.Context, fails *int) (err error) {
	defer func() {
		if err != nil {
			t.service.complain("listen for new messages", err)
		}
	}()
	config := t.config.listen.Copy()
	t.config.prepareSession(config)
	var conn *pgx.Conn
	err = within(ctx, func(ctx context.Context) (err error) { conn, err = pgx.ConnectConfig(ctx, config); return err })
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := within(ctx, func(ctx context.Context) error {
		_, err := conn.Exec(ctx, "listen "+pgx.Identifier{t.sql.channel()}.Sanitize())
		return err
	}); err != nil {
		return err
	}
	*fails = 0
	t.wake.Send() // for what was sent before
	for {
		n, err := waitFor(ctx, conn, pingEvery)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && t.service.own(n.PID):
		case err == nil:
			t.wake.Send()
		case !pgconn.Timeout(err) && !errors.Is(err, context.DeadlineExceeded):
			return err
		default:
			if err := ping(ctx, conn); err != nil {
				return err
			}
		}
	}
}

func waitFor(ctx context.Context, conn *pgx.Conn, d time.Duration) (*pgconn.Notification, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return conn.WaitForNotification(ctx)
}

// ping asks a silent connection whether it lives: half of one that is gone looks like one on which nothing happens.
func ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	return conn.Ping(ctx)
}
