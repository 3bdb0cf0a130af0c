package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/schedule"
)

func (s *session) schedulesApply() *cobra.Command {
	var owner string
	var dryRun bool
	c := &cobra.Command{
		Use: "apply [FILE]", Short: "Make the schedules of an owner those of a file", Args: s.arguments(0, 1),
		Long: `Make the schedules of an owner those of a file (- for standard input), in YAML or
JSON. Without FILE it is the one that "schedules" in the configuration names, which
workers apply as well when they start:

  owner: billing
  schedules:
    - name: nightly-report
      cron: "0 3 * * *"         # or every: 15m, or once: 2026-12-24T18:00:00+01:00
      timezone: Europe/Berlin
      message: {type: report, body: {days: 30}, queue: slow}
      missed: last              # skip, last, all; window: 6h
      overlap: skip             # allow, skip, queue, cancel
      jitter: 30s

New ones are added, those whose declaration has changed are changed, and those of
the owner that are not in the file are dropped: they fire no more. The schedules of
other owners are not touched. Routes apply to the messages, as to any dispatch.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.scheduleFile(args)
			if err != nil {
				return err
			}
			f, err := s.readSchedules(path)
			if err != nil {
				return err
			}
			if owner != "" && f.Owner != "" && owner != f.Owner {
				return s.usage("", "--owner is %.80q, and the owner of the file %.80q", owner, f.Owner)
			}
			if f.Owner = cmp.Or(owner, f.Owner); f.Owner == "" {
				return s.usage("say --owner NAME, or owner: NAME in the file", "whose schedules are these?")
			}
			return s.withDeclaring(cmd.Context(), func(m *schedule.Manager) error {
				applied, err := m.Apply(cmd.Context(), f.Owner, f.Schedules, dryRun)
				if err != nil {
					return err
				}
				if dryRun {
					s.note("nothing was changed")
				}
				return list(s, applied, func() table {
					t := table{{"NAME", "RESULT", "FIELDS"}}
					for _, a := range applied {
						t = append(t, []string{a.Name, appliedWord(a.Action, dryRun), strings.Join(a.Fields, ", ")})
					}
					return t
				})
			})
		},
	}
	c.Flags().StringVar(&owner, "owner", "", "whose schedules these are; all others of this owner are dropped")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change, and change nothing")
	return c
}

// scheduleFile is the file that apply is about.
func (s *session) scheduleFile(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	c, err := s.configure("")
	if err == nil && c.Schedules == "" {
		err = s.usage("say FILE, or schedules: FILE in the configuration", "which schedules?")
	}
	if err != nil {
		return "", err
	}
	return c.Schedules, nil
}

func appliedWord(a schedule.Action, dry bool) string {
	if dry && a != schedule.Unchanged {
		return "would be " + string(a)
	}
	return string(a)
}

func (s *session) readSchedules(name string) (f app.ScheduleFile, err error) {
	var data []byte
	if name == "-" {
		data, err = io.ReadAll(s.std.In)
	} else {
		data, err = os.ReadFile(name)
	}
	if err == nil {
		f, err = app.ReadSchedules(data)
	}
	if err != nil {
		if pathError, ok := errors.AsType[*os.PathError](err); ok {
			err = pathError.Err
		}
		return f, s.usage("", "%w", fmt.Errorf("read %s: %w", name, err))
	}
	return f, nil
}
