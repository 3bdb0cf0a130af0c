package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/internal/errtext"
	"github.com/symphony-messenger/symphony/schedule"
)

// newScheduler makes the scheduler of a process: none when the store keeps no schedules.
func newScheduler(bus *symphony.Bus, opts Options, c *config.Config) (*schedule.Scheduler, error) {
	if _, ok := symphony.As[schedule.Store](bus.Transport); !ok {
		if opts.Schedules != nil || c.Schedules != "" {
			return nil, fmt.Errorf("add the schedules: %w: schedules", symphony.ErrUnsupported)
		}
		return nil, nil
	}
	s := &schedule.Scheduler{Bus: bus, Logger: opts.Logger}
	if opts.Schedules != nil {
		s.Owner = bus.Owner
		if err := opts.Schedules(s); err != nil {
			return nil, fmt.Errorf("add the schedules: %w", err)
		}
	}
	if c.Schedules != "" {
		if err := declareFile(s, c.Schedules); err != nil {
			return nil, &config.Error{Problems: []config.Problem{{Origin: c.SchedulesFrom, Key: "schedules", Text: err.Error()}}}
		}
	}
	return s, nil
}

// declareFile declares the schedules of a file.
func declareFile(s *schedule.Scheduler, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := ReadSchedules(data)
	if err == nil && f.Owner == "" {
		err = errors.New("it has no owner: write owner: NAME")
	}
	if err == nil {
		err = s.Declare(f.Owner, f.Schedules)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// schedulesBeside runs the scheduler for as long as work takes. When it cannot work at all, work ends too.
func (a *App) schedulesBeside(ctx context.Context, work func(context.Context) error) error {
	if a.Scheduler == nil {
		return work(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := a.Scheduler.Run(ctx)
		if err != nil {
			cancel()
		}
		ended <- err
	}()
	err := work(ctx)
	cancel()
	scheduler := <-ended
	for _, same := range []error{symphony.ErrNotMigrated, symphony.ErrSchemaTooNew} {
		if errors.Is(err, same) && errors.Is(scheduler, same) {
			return err
		}
	}
	return errors.Join(err, scheduler)
}

// A ScheduleFile is what a file of schedules says.
type ScheduleFile struct {
	Owner     string              `json:"owner"`
	Schedules []schedule.Schedule `json:"schedules"`
}

// ReadSchedules reads a file of schedules, in YAML or JSON:
//
//	owner: billing
//	schedules:
//	  - name: nightly-report
//	    cron: "0 3 * * *"            # or every: 15m, or once: 2026-12-24T18:00:00+01:00
//	    timezone: Europe/Berlin
//	    message: {type: report, body: {days: 30}, queue: slow}
//	    missed: last
//	    overlap: skip
//
// A key that is not known is an error. The values are checked when they are applied.
func ReadSchedules(data []byte) (f ScheduleFile, err error) {
	if first := bytes.TrimSpace(data); len(first) == 0 || first[0] != '{' {
		if data, err = yaml.YAMLToJSON(data); err != nil {
			return f, errors.New(yaml.FormatError(err, false, true))
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, errtext.WrongType(err)
	}
	if f.Schedules == nil {
		return f, errors.New(`it has no list "schedules"; an empty one is []`)
	}
	for _, s := range f.Schedules {
		if s.Owner != "" && s.Owner != f.Owner {
			return f, fmt.Errorf("schedule %.80s: its owner is %.80q, and that of the file %.80q", s.Name, s.Owner, f.Owner)
		}
	}
	f.Schedules = slices.Clip(f.Schedules)
	return f, nil
}
