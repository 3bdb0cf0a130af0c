package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/monitor"
)

// The exit codes of all commands.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitPartial     = 3
	ExitNotFound    = 5
	ExitConflict    = 6
	ExitUnavailable = 7
	ExitUnhealthy   = 8
	ExitInterrupted = 130
)

func exitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes of all commands mean",
		Long: `Exit codes of all commands:

    0  done; also a worker that stopped because of a signal or a limit, and a
       dispatch whose idempotency key had been used before
    1  failure that none of the others describes
    2  usage: the command line, the configuration, the DSN or the message is
       wrong; nothing was done
    3  partial: of several messages some were done and some were not
    5  not found: the store has no such message, or not in the state asked for
    6  conflict: another message has taken the idempotency key, a file is there
       already
    7  unavailable: the store is not migrated, too new, locked, full, read-only or
       out of reach
    8  unhealthy: check, doctor or migrate status found something
  130  interrupted: the worker was told twice to stop, and handlers were running`,
	}
}

// A failure is an error with an exit code, and perhaps with advice.
type failure struct {
	code int
	hint string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (s *session) usage(hint, format string, args ...any) error {
	return &failure{ExitUsage, hint, fmt.Errorf(format, args...)}
}

// judge says what an error means to the shell, and what may help.
func (s *session) judge(err error) (code int, hint string) {
	is := func(target error) bool { return errors.Is(err, target) }
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code, f.hint
	}
	if _, ok := errors.AsType[*symphony.InvalidError](err); ok {
		return ExitUsage, ""
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return ExitUsage, ""
	}
	if taken, ok := errors.AsType[*monitor.KeyTakenError](err); ok {
		return ExitConflict, fmt.Sprintf("look at it with `%s messages show %s`", s.opts.Name, taken.Holder)
	}
	switch {
	case is(app.ErrDSN) && s.dsnFrom != "":
		return ExitUsage, "the DSN is that of " + s.dsnFrom + " in the environment; --dsn goes before it"
	case is(app.ErrDSN), is(symphony.ErrTooLarge), is(symphony.ErrUnsupported):
		return ExitUsage, ""
	case is(monitor.ErrHeld):
		return ExitConflict, "its program may still be running; a minute after that has ended, somebody else can go on"
	case is(monitor.ErrNotFound):
		return ExitNotFound, ""
	case is(symphony.ErrNotMigrated):
		return ExitUnavailable, fmt.Sprintf("run `%s migrate up` with the same DSN", s.opts.Name)
	case is(symphony.ErrSchemaTooNew):
		return ExitUnavailable, "install the release that has migrated the store, or a later one"
	case is(symphony.ErrOutcomeUnknown):
		return ExitUnavailable, "repeat it with the same --key: it is then stored once at most"
	}
	if code, hint, ok := s.judgeSchedule(err); ok {
		return code, hint
	}
	if code, hint, ok := s.judgeServer(err); ok {
		return code, hint
	}
	switch {
	case is(symphony.ErrStoreReadOnly):
		return ExitUnavailable, "the file and its directory must be writable by the user that runs this"
	case is(symphony.ErrStoreBusy):
		return ExitUnavailable, "another program holds the write lock; wait longer with ?busy_timeout=30s in the DSN"
	case is(symphony.ErrStoreFull):
		return ExitUnavailable, ""
	case is(context.Canceled):
		return ExitInterrupted, ""
	}
	return ExitFailure, ""
}

// report shows err and returns the exit code.
func (s *session) report(err error) int {
	if err == nil {
		return ExitOK
	}
	code, hint := s.judge(err)
	if s.logs == "json" {
		s.log.Error(explain(err), "hint", hint, "exit_code", code)
		return code
	}
	if wrong, ok := errors.AsType[*config.Error](err); ok {
		s.sayProblems(wrong.Problems)
	} else {
		s.say("error: ", red, explain(err))
	}
	if hint != "" {
		s.say("hint: ", cyan, hint)
	}
	if s.debug {
		for depth := 0; err != nil; depth++ {
			s.say("debug: ", cyan, fmt.Sprintf("%s%T: %s", strings.Repeat("  ", depth), err, line(err.Error())))
			err = inner(err)
		}
	}
	return code
}

// sayProblems shows all that is wrong with a configuration.
func (s *session) sayProblems(all []config.Problem) {
	for _, p := range all {
		s.say("error: ", red, line(p.String()))
		if p.Hint != "" {
			s.say("hint: ", cyan, line(p.Hint))
		}
	}
}

// inner returns what err wraps; of several the last, because ours put the classification first.
func inner(err error) error {
	if u, ok := err.(interface{ Unwrap() []error }); ok {
		all := u.Unwrap()
		return all[len(all)-1]
	}
	return errors.Unwrap(err)
}

// explain is the text of err on one line, without the package names that precede sentinels in Go.
func explain(err error) string {
	return strings.NewReplacer("symphony: ", "", "monitor: ", "", "schedule: ", "").Replace(line(err.Error()))
}

// note says something that is neither data nor an error.
func (s *session) note(format string, args ...any) {
	switch text := line(fmt.Sprintf(format, args...)); {
	case s.quiet:
	case s.logs == "json":
		s.log.Info(text)
	default:
		fmt.Fprintln(s.std.Err, text)
	}
}

func (s *session) say(label string, c colour, text string) {
	fmt.Fprintln(s.std.Err, s.paint(s.std.Err, c, label)+text)
}
