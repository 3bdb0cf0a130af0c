package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/push"
	"github.com/symphony-messenger/symphony/retry"
)

// An exec is the flags by which a program outside of Go becomes a handler, and those of its retries.
type exec struct {
	commands   []string
	retries    int
	delay      duration
	multiplier float64
	most       duration
	timeout    duration

	handlers []execHandler
}

type execHandler struct {
	typ     string
	command *push.Command
}

// execHelp is the part of the help that consume and dev share.
const execHelp = `A handler can be any program: --exec 'TYPE=COMMAND' runs COMMAND for each message
of TYPE. It is split into words as in a shell, and nothing in it is expanded. The
body comes on standard input, and SYMPHONY_ID, _TYPE, _QUEUE, _GROUP,
_ATTEMPT, _FENCE, _CONTENT_TYPE, _CREATED_AT and _HEADERS in the environment,
beside PATH, HOME and LANG. Exit code 0 is done, anything else a failure, with the
last 4 KiB of standard error as its text; 75 is a temporary one, said on purpose.
Standard output is logged by --verbose. At --timeout the program and all that it
has started get SIGTERM, and 2 seconds later SIGKILL.`

func (e *exec) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&e.commands, "exec", nil, "run a command for each message of a type: 'TYPE=COMMAND'; may be repeated")
	f.IntVar(&e.retries, "retries", 3, "attempts after the first one, unless message or handler say otherwise; -1: no limit")
	e.delay = duration(time.Second)
	f.Var(&e.delay, "retry-delay", "wait before the first retry")
	f.Float64Var(&e.multiplier, "retry-multiplier", 2, "each further wait is that many times longer")
	f.Var(&e.most, "retry-cap", "longest wait (default: none)")
	f.Var(&e.timeout, "timeout", "of each attempt of an --exec command (default: none)")
}

// parse checks the flags and looks the programs up, before anything is opened.
func (e *exec) parse(s *session) error {
	switch {
	case e.timeout != 0 && len(e.commands) == 0:
		return s.usage("give --exec 'TYPE=COMMAND'", "--timeout is that of --exec commands, and there are none")
	case e.timeout < 0 || e.delay < 0 || e.most < 0:
		return s.usage("", "--timeout, --retry-delay and --retry-cap must not be negative")
	case e.retries < -1:
		return s.usage("", "--retries must be -1 (no limit) or more")
	case !(e.multiplier >= 1):
		return s.usage("", "--retry-multiplier must be 1 or more")
	}
	for _, text := range e.commands {
		typ, line, ok := strings.Cut(text, "=")
		if !ok {
			return s.usage("write it as --exec 'TYPE=COMMAND'", "--exec %.100q names no type", text)
		}
		if err := symphony.CheckType(typ); err != nil {
			return err
		}
		command, err := push.ParseCommand(line)
		if err != nil {
			return s.usage("", "--exec for %s: %w", typ, err)
		}
		command.Logger = s.log
		e.handlers = append(e.handlers, execHandler{typ, command})
	}
	return nil
}

// register makes the commands handlers of bus.
func (e *exec) register(s *session, bus *symphony.Bus) error {
	for _, h := range e.handlers {
		if err := handle(bus, h.typ, h.command.Handle, symphony.Timeout(time.Duration(e.timeout))); err != nil {
			return s.usage("", "--exec for %s: %w", h.typ, err)
		}
	}
	return nil
}

// handle registers a handler for a type that may have one already, which is a panic in Go.
func handle(bus *symphony.Bus, typ string, h symphony.Handler, opts ...symphony.HandlerOption) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New(strings.TrimPrefix(fmt.Sprint(r), "symphony: "))
		}
	}()
	symphony.HandleRaw(bus, typ, h, opts...)
	return nil
}

// A policy is that of the flags: unlike in [retry.Exponential], zero means zero.
type policy struct {
	max  int
	wait retry.Exponential
}

func (e *exec) policy() symphony.RetryPolicy {
	p := policy{e.retries, retry.Exponential{
		Delay: time.Duration(e.delay), Multiplier: e.multiplier, Cap: time.Duration(e.most),
	}}
	if p.wait.Delay == 0 {
		p.wait.Delay = -1 // no wait
	}
	return p
}

// Next implements symphony.RetryPolicy.
func (p policy) Next(failures int, _ error) (time.Duration, bool) {
	return p.wait.Wait(failures), p.max < 0 || failures <= p.max
}
