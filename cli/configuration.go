package cli

import (
	"cmp"
	_ "embed" // the example
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/push"
)

//go:embed example.yaml
var example string

func (s *session) configuration() *cobra.Command {
	return s.group("config", "Look at the configuration, check it, begin one", `
A value of a flag goes before one of the environment, that before one of the
file, and that before the default. Every key that has one name also has a variable
of the environment: worker.lease is SYMPHONY_WORKER_LEASE.

${NAME} in a value of the file is replaced by that variable, which must be set;
${NAME:-text} by text when it is not. Passwords need not be in the file.`,
		s.configShow(), s.configValidate(), s.configInit())
}

func (s *session) configShow() *cobra.Command {
	var origin bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the values that are in force",
		Long: `Show the values that are in force: what has been set, and the defaults of what
has not. Passwords are not shown, nor texts that came from ${NAME}.`,
		Args: s.arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			c, err := s.load(s.configFile)
			if err != nil {
				return err
			}
			return list(s, c.Settings(), func() table { return settingTable(c.Settings(), origin) })
		},
	}
	c.Flags().BoolVar(&origin, "origin", false, "where each value comes from: FILE:LINE:COLUMN, a variable, a flag or the default")
	return c
}

func settingTable(all []config.Setting, origin bool) table {
	head := []string{"KEY", "VALUE"}
	if origin {
		head = append(head, "ORIGIN")
	}
	t := table{head}
	for _, set := range all {
		row := []string{set.Key, set.Value}
		if origin {
			row = append(row, set.Origin.String())
		}
		t = append(t, row)
	}
	return t
}

// load is configure for commands that do not need a store.
func (s *session) load(path string) (*config.Config, error) {
	c, err := config.Load(config.Sources{File: config.FindFile(path, os.LookupEnv), DSN: s.dsn})
	if err == nil {
		for _, n := range c.Notes() {
			s.note("note: %s", n)
		}
	}
	return c, err
}

func (s *session) configValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check a configuration without starting anything",
		Long: `Check a configuration without starting anything: all keys and values, the DSNs
with their options, and the commands of handlers. It connects to nothing. A
program that is not on this machine is a note and no error.

The exit code is 2 when something is wrong; every problem is shown with its place.`,
		Args: s.arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := config.FindFile(cmp.Or(strings.Join(args, ""), s.configFile), os.LookupEnv)
			c, err := s.load(path)
			if err != nil {
				return err
			}
			var wrong []config.Problem
			for _, t := range c.Transports {
				opened, err := s.open(cmd.Context(), config.Transport{DSN: t.DSN, Name: t.Name, History: t.History, Retention: t.Retention})
				if err != nil {
					wrong = append(wrong, config.Problem{Origin: t.From, Key: "transports." + t.Name, Text: explain(err)})
					continue
				}
				if err := app.Close(opened); err != nil {
					return err
				}
			}
			for _, h := range c.Handlers {
				_, err := push.ParseCommand(h.Exec)
				switch {
				case errors.Is(err, osexec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
					s.note("note: %s: %s: %v", h.From, h.Type, err)
				case err != nil:
					wrong = append(wrong, config.Problem{Origin: h.From, Key: "handlers." + h.Type, Text: err.Error()})
				}
			}
			if len(wrong) > 0 {
				return &config.Error{Problems: wrong}
			}
			if c.Schedules != "" { // they are read with the routes that their messages take
				a, err := app.New(cmd.Context(), app.Options{Config: c, Logger: s.log})
				if err != nil {
					return err
				}
				if err := a.Stop(); err != nil {
					return err
				}
			}
			if path == "" {
				s.note("there is no configuration file; the environment is right")
				return nil
			}
			counted := func(n int, what string) string { return fmt.Sprintf("%d %s%s", n, what, plural(n)) }
			s.note("%s is right: %s, %s, %s", path, counted(len(c.Transports), "transport"), counted(len(c.Routes), "route"), counted(len(c.Handlers), "handler"))
			return nil
		},
	}
}

func (s *session) configInit() *cobra.Command {
	var toFile bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Print a configuration to begin with, with every key and its default",
		Long: `Print a configuration to begin with, with every key and its default in comments.
With --write it becomes ./symphony.yaml, unless there is one.`,
		Args: s.arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if !toFile {
				_, err := io.WriteString(s.std.Out, example)
				return err
			}
			f, err := os.OpenFile(config.DefaultFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return &failure{ExitConflict, "", fmt.Errorf("%s is there already: it is left as it is", config.DefaultFile)}
			}
			if err != nil {
				return err
			}
			if _, err := f.WriteString(example); err != nil {
				return errors.Join(err, f.Close())
			}
			s.note("%s is written", config.DefaultFile)
			return f.Close()
		},
	}
	c.Flags().BoolVar(&toFile, "write", false, "write ./symphony.yaml")
	return c
}
