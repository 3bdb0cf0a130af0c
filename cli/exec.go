package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/push"
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
	opts    []symphony.HandlerOption
}

// execHelp is the part of the help that consume and dev share.
const execHelp = `A handler can be any program: --exec 'TYPE=COMMAND' runs COMMAND for each message
of TYPE, as "handlers" of the configuration do. It is split into words as in a
shell, and nothing in it is expanded. The body comes on standard input, and
SYMPHONY_ID, _TYPE, _QUEUE, _GROUP, _ATTEMPT, _FENCE, _CONTENT_TYPE, _CREATED_AT
and _HEADERS in the environment, beside PATH, HOME and LANG. Exit code 0 is done,
anything else a failure, with the last 4 KiB of standard error as its text; 75 is
a temporary one, said on purpose. Standard output is logged by --verbose. At
--timeout the program and all that it has started get SIGTERM, and 2 seconds later
SIGKILL.`

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

// settings are the flags that stand for keys of the configuration.
func (e *exec) settings() map[string]string {
	return map[string]string{
		"retries": "retry.max", "retry-delay": "retry.delay", "retry-multiplier": "retry.multiplier", "retry-cap": "retry.cap",
	}
}

// parse checks the flags and looks the programs up, before anything is opened. A command of the flags takes the
// place of that of the configuration for the same type.
func (e *exec) parse(s *session, c *config.Config) error {
	if e.timeout < 0 || e.timeout != 0 && len(e.commands) == 0 {
		return s.usage("give --exec 'TYPE=COMMAND'", "--timeout is that of --exec commands, and must not be negative")
	}
	handlers := slices.Clone(c.Handlers)
	for _, text := range e.commands {
		typ, line, ok := strings.Cut(text, "=")
		if !ok {
			return s.usage("write it as --exec 'TYPE=COMMAND'", "--exec %.100q names no type", text)
		}
		if err := symphony.CheckType(typ); err != nil {
			return err
		}
		h := config.Handler{Type: typ, Exec: line, From: config.Origin{Flag: "--exec"}, Timeout: time.Duration(e.timeout)}
		if i := slices.IndexFunc(handlers, func(h config.Handler) bool { return h.Type == typ && h.From.Flag == "" }); i >= 0 {
			h.AtMost, h.Retry, h.Timeout = handlers[i].AtMost, handlers[i].Retry, cmp.Or(h.Timeout, handlers[i].Timeout)
			handlers = slices.Delete(handlers, i, i+1)
		}
		handlers = append(handlers, h)
	}
	for _, h := range handlers {
		command, err := push.ParseCommand(h.Exec)
		if err != nil {
			where := "--exec for"
			if h.From.Flag == "" {
				where = h.From.String() + ": the handler of"
			}
			return s.usage("", "%s %s: %w", where, h.Type, err)
		}
		command.Logger = s.log
		opts := []symphony.HandlerOption{symphony.Timeout(h.Timeout), symphony.AtMost(h.AtMost)}
		if h.Retry != nil {
			opts = append(opts, symphony.Retry(*h.Retry))
		}
		e.handlers = append(e.handlers, execHandler{h.Type, command, opts})
	}
	return nil
}

// register makes the commands handlers of bus.
func (e *exec) register(s *session, bus *symphony.Bus) error {
	for _, h := range e.handlers {
		if err := handle(bus, h.typ, h.command.Handle, h.opts...); err != nil {
			return s.usage("", "the command for %s: %w", h.typ, err)
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
