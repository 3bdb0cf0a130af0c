package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/push"
)

// A finding is a check, and of which transport.
type finding struct {
	Transport string `json:"transport,omitempty"`
	monitor.Check
}

func (s *session) doctor() *cobra.Command {
	strict := false
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, and say what to do about it",
		Long: `Look for what is wrong, and say what to do about it: with the configuration, with
the programs that handle messages, and with each store: can it be reached and
written, is it migrated and durable, do the clocks agree, does LISTEN work, may
the user vacuum, are there long transactions or dead rows, is there room, are
workers alive, do messages wait for long, dead letters, types without a handler,
subscriptions without a worker.

With --verbose, and always in JSON, checks come with the figures behind them: the
sizes, dead rows and last vacuum of each table, what keeps dead rows from being
removed, the sizes of files.

It changes nothing. The exit code is 8 when something failed, with --strict also
when there is a warning.`,
		Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := s.examine(cmd.Context())
			if err != nil {
				return err
			}
			if err := list(s, all, func() table { return findingTable(all) }); err != nil {
				return err
			}
			if s.loud && s.output == formatTable {
				s.figuresOf(all)
			}
			return judgeFindings(all, strict)
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "a warning is a failure")
	return c
}

func findingTable(all []finding) table {
	t := table{{"LEVEL", "CHECK", "FOUND", "HINT"}}
	several := slices.ContainsFunc(all, func(f finding) bool { return f.Transport != "" })
	if several {
		t[0] = slices.Insert(t[0], 0, "TRANSPORT")
	}
	for _, f := range all {
		row := []string{string(f.Level), f.Name, f.Text, f.Hint}
		if several {
			row = slices.Insert(row, 0, f.Transport)
		}
		t = append(t, row)
	}
	return t
}

// figuresOf writes the figures behind checks, a table for each kind of them.
func (s *session) figuresOf(all []finding) {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	tables, holders := table{{"TABLE", "BYTES", "ROWS", "DEAD", "VACUUMED", "PARTITIONS"}}, table{{"HOLDER", "NAME", "PID", "STATE", "AGE", "TRANSACTIONS", "QUERY"}}
	files := table{{"FILE", "BYTES", "FREE"}}
	for _, f := range all {
		for _, t := range f.Tables {
			tables = append(tables, []string{t.Name, number(t.Bytes), number(t.Rows), number(t.Dead), moment(t.Vacuumed), strconv.Itoa(t.Parts)})
		}
		for _, h := range f.Holders {
			holders = append(holders, []string{h.Kind, h.Name, strconv.Itoa(h.PID), h.State, h.Age.Round(time.Second).String(), number(h.Held), cut(h.Query, 80)})
		}
		for _, each := range f.Files {
			files = append(files, []string{each.Name, number(each.Bytes), number(each.Free)})
		}
	}
	for _, t := range []table{tables, holders, files} {
		if len(t) > 1 {
			fmt.Fprintln(s.std.Out)
			s.write(t)
		}
	}
}

func judgeFindings(all []finding, strict bool) error {
	failed, warned := 0, 0
	for _, f := range all {
		switch f.Level {
		case monitor.LevelFail:
			failed++
		case monitor.LevelWarn:
			warned++
		}
	}
	if failed == 0 && !(strict && warned > 0) {
		return nil
	}
	return &failure{ExitUnhealthy, "", fmt.Errorf("%d of %d checks failed, %d warn", failed, len(all), warned)}
}

// examine looks at the process and at all stores, or at that which the flags choose.
func (s *session) examine(ctx context.Context) ([]finding, error) {
	c, err := s.configure("")
	if err != nil {
		return nil, err
	}
	targets, err := s.targets(c)
	if err != nil {
		return nil, err
	}
	all := s.examineProcess(c)
	for _, target := range targets {
		name := ""
		if len(targets) > 1 {
			name = target.Name
		}
		t, err := s.open(ctx, target)
		if err != nil {
			if len(targets) == 1 {
				return nil, err
			}
			all = append(all, finding{name, monitor.Check{Name: "dsn", Level: monitor.LevelFail, Text: explain(err)}})
			continue
		}
		for _, check := range app.Examine(ctx, t) {
			check.Text = explain(errors.New(check.Text))
			if check.Err != nil && check.Hint == "" {
				_, check.Hint = s.judge(check.Err)
			}
			all = append(all, finding{name, check})
		}
		if err := app.Close(t); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// examineProcess looks at what is on this machine.
func (s *session) examineProcess(c *config.Config) (all []finding) {
	add := func(name string, level monitor.Level, text, hint string) {
		all = append(all, finding{"", monitor.Check{Name: name, Level: level, Text: text, Hint: hint}})
	}
	add("program", monitor.LevelOK, fmt.Sprintf("%s, %s, %s/%s, %d processors", s.opts.Name, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0)), "")
	if len(c.Notes()) == 0 {
		add("config", monitor.LevelOK, "it is right", "")
	}
	for _, n := range c.Notes() {
		add("config", monitor.LevelWarn, n, "`config show --origin` shows what is in force")
	}
	for _, h := range c.Handlers {
		if _, err := push.ParseCommand(h.Exec); err != nil {
			add("handlers", monitor.LevelWarn, h.Type+": "+err.Error(), "a worker on this machine would not start")
		}
	}
	if _, err := time.LoadLocation("Europe/London"); err != nil {
		add("time-zones", monitor.LevelWarn, "there is no data about time zones: "+err.Error(), "install the package tzdata, or set ZONEINFO")
	}
	return all
}
