//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgserver"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/transport/postgres"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// A store is what the schedulers of a run share.
type store struct {
	dsn    string
	server *pgserver.Server // nil: none
	symphony.Transport
}

func open(ctx context.Context, dsn string) (symphony.Transport, error) {
	if strings.HasPrefix(dsn, "sqlite") {
		return sqlite.Open(ctx, dsn, nil)
	}
	return postgres.Open(ctx, dsn, nil)
}

// skew is how far the clock of PostgreSQL is ahead of those of the processes.
const skew = time.Hour

func (c *config) prepare(ctx context.Context) (s *store, err error) {
	s = &store{dsn: "sqlite://" + filepath.Join(c.dir, "ticks.db")}
	switch c.store {
	case "sqlite":
	case "postgres":
		if s.server, err = pgserver.Start(ctx, pgserver.Config{}); err != nil {
			return nil, err
		}
		s.dsn = s.server.DSN("postgres")
	default:
		return nil, fmt.Errorf("store %q: must be sqlite or postgres", c.store)
	}
	if s.Transport, err = open(ctx, s.dsn); err != nil {
		return nil, errors.Join(err, s.close())
	}
	m, _ := symphony.As[monitor.Migrator](s.Transport)
	if _, err = m.Migrate(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if t, ok := s.Transport.(*postgres.Transport); ok {
		_, err = t.Pool().Exec(ctx, fmt.Sprintf(`create or replace function symphony.clock() returns timestamptz language sql volatile parallel safe
as 'select pg_catalog.clock_timestamp() + interval ''%d seconds'''`, int(skew.Seconds())))
	}
	if err == nil {
		_, err = (&schedule.Manager{Bus: &symphony.Bus{Transport: s.Transport}}).Apply(ctx, "tickcrash", c.declared(), false)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// declared are schedules that tick each second, with all policies.
func (c *config) declared() (all []schedule.Schedule) {
	policies := []schedule.Missed{schedule.MissedAll, schedule.MissedLast, schedule.MissedSkip}
	for i := range c.schedules {
		s := schedule.Schedule{
			Name: fmt.Sprintf("s%03d", i), Kind: schedule.KindInterval, Expression: "1s", Missed: policies[i%3],
			Anchor:  time.UnixMilli(int64(i) * 997 % 1000),
			Message: schedule.Message{Type: "tick", Body: []byte(fmt.Sprint(i))},
		}
		if i%4 == 3 {
			s.Kind, s.Expression, s.Anchor = schedule.KindCron, "* * * * * *", time.Time{}
		}
		all = append(all, s)
	}
	return all
}

func (s *store) close() error {
	var errs []error
	if c, ok := s.Transport.(io.Closer); ok {
		errs = append(errs, c.Close())
	}
	if s.server != nil {
		errs = append(errs, s.server.Stop())
	}
	return errors.Join(errs...)
}
