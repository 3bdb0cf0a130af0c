// Package push has handlers that hand messages to programs outside of Go: today commands of this
// machine.
package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kballard/go-shellquote"

	"github.com/symphony-messenger/symphony"
)

const (
	// killAfter is how long a program has between SIGTERM and SIGKILL. It is well below the 5 s that a
	// worker leaves between the end of a handler's context and the end of its lease.
	killAfter = 2 * time.Second
	// drainAfter bounds the wait for output that somebody outside the process group still holds open.
	drainAfter = 500 * time.Millisecond
	// tailBytes is what is kept of each output.
	tailBytes = 4 << 10
	// exitTemporary is EX_TEMPFAIL of sysexits.h.
	exitTemporary = 75
)

// A Command handles messages by running a program once for each. Make it with [ParseCommand], and
// give its Handle to [symphony.HandleRaw].
//
// The program gets the body on its standard input, and of this process's environment PATH, HOME and
// LANG only. What it needs to know is in SYMPHONY_ID, _TYPE, _QUEUE, _GROUP, _ATTEMPT (1 at
// first), _FENCE (grows with every delivery), _CONTENT_TYPE, _CREATED_AT (RFC 3339) and _HEADERS (a
// JSON object); those that do not apply are empty.
//
// Exit code 0 means done. Any other exit code, and death by a signal, is a failure about which the
// retry policy decides; 75 (EX_TEMPFAIL) is the same, said on purpose. The error is the last 4 KiB of
// what the program wrote to its standard error. Its standard output is no answer: the last 4 KiB of
// it are logged at debug level.
//
// The program leads a process group of its own. When the handler's context ends (timeout, cancelled,
// lease lost, worker stopping) the group gets SIGTERM, and 2 s later SIGKILL; exit code 0 still means
// done. Whatever the program has left behind in its group when it ends is killed. Only a SIGKILL of
// the worker itself leaves the program alone: the message is then delivered again with a greater
// SYMPHONY_FENCE. On systems without process groups only the program itself is killed, at once.
type Command struct {
	Logger *slog.Logger // nil: slog.Default()

	args []string // args[0] is the path of the program
}

// ParseCommand splits line into words as a shell does, with quotes and backslashes but without any
// expansion, and looks its first word up in PATH. It returns an error for unfinished quotes, and one
// that matches [exec.ErrNotFound] or [os.ErrNotExist] for a program that is not there.
func ParseCommand(line string) (*Command, error) {
	args, err := shellquote.Split(line)
	if err != nil {
		return nil, fmt.Errorf("command %q: %w", line, err)
	}
	if len(args) == 0 {
		return nil, errors.New("command is empty")
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, fmt.Errorf("command %q: %w", line, err)
	}
	args[0] = path
	return &Command{args: args}, nil
}

// Handle runs the program for env and blocks until it has ended. It is a [symphony.Handler], may be
// called concurrently, and returns a *[CommandError] for a program that failed.
func (c *Command) Handle(ctx context.Context, env *symphony.Envelope) error {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = environment(env)
	cmd.WaitDelay = killAfter
	setGroup(cmd)
	body := env.Body
	if raw, ok := env.Message.(symphony.Raw); ok {
		body = raw.Body // in place there is no other
	}
	stdout, stderr, err := run(cmd, body)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.args[0], err)
	}
	ended := cmd.ProcessState
	c.logger().DebugContext(ctx, "program ended", "program", c.args[0], "type", env.Type, "id", env.ID,
		"state", ended.String(), "stdout", stdout, "stderr", stderr)
	if ended.Success() {
		return nil
	}
	failed := &CommandError{
		Program: filepath.Base(c.args[0]), Code: ended.ExitCode(), State: ended.String(), Stderr: stderr,
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), failed)
	}
	return failed
}

// run starts cmd, feeds it body and collects the ends of its outputs. Its error says that it did not
// start; else cmd.ProcessState says how it ended, and nothing of its group runs any more.
//
// The outputs are pipes of our own: those of [exec.Cmd] keep Wait from returning for as long as any
// descendant holds them open, and only after Wait may the descendants be killed.
func run(cmd *exec.Cmd, body []byte) (stdout, stderr string, err error) {
	var out, errs output
	if err := out.open(); err != nil {
		return "", "", err
	}
	defer out.close()
	if err := errs.open(); err != nil {
		return "", "", err
	}
	defer errs.close()
	cmd.Stdout, cmd.Stderr = out.w, errs.w
	stdin, err := cmd.StdinPipe() // Wait closes it, which ends the Write below
	if err != nil {
		return "", "", err
	}
	if err := cmd.Start(); err != nil {
		return "", "", err
	}
	out.started()
	errs.started()
	var running sync.WaitGroup
	running.Go(func() {
		_, _ = stdin.Write(body) // a program need not read its input
		_ = stdin.Close()
	})
	running.Go(out.read)
	running.Go(errs.read)
	_ = cmd.Wait() // ProcessState says it better
	killGroup(cmd)
	out.finish()
	errs.finish()
	running.Wait()
	return string(out.tail), string(errs.tail), nil
}

// An output is a pipe of which only the end is kept.
type output struct {
	r, w *os.File
	tail []byte
}

func (o *output) open() (err error) {
	o.r, o.w, err = os.Pipe()
	return err
}

// started closes this process's copy of the writing end, so that read sees when the last other one closes.
func (o *output) started() { _ = o.w.Close() }

func (o *output) read() { _, _ = io.Copy(o, o.r) }

// Write keeps the last tailBytes of all that was written.
func (o *output) Write(p []byte) (int, error) {
	o.tail = append(o.tail, p[max(0, len(p)-tailBytes):]...)
	o.tail = slices.Delete(o.tail, 0, max(0, len(o.tail)-tailBytes))
	return len(p), nil
}

// finish bounds read: a descendant that left the group may hold the pipe open for ever.
func (o *output) finish() { _ = o.r.SetReadDeadline(time.Now().Add(drainAfter)) }

func (o *output) close() {
	_ = o.r.Close()
	_ = o.w.Close() // still open only when the program did not start
}

func environment(env *symphony.Envelope) []string {
	headers, _ := json.Marshal(env.Headers) // strings: it cannot fail
	if len(env.Headers) == 0 {
		headers = []byte("{}")
	}
	vars := []string{
		"SYMPHONY_ID=" + env.ID.String(),
		"SYMPHONY_TYPE=" + env.Type,
		"SYMPHONY_QUEUE=" + env.Queue,
		"SYMPHONY_GROUP=" + env.Group,
		"SYMPHONY_ATTEMPT=" + strconv.Itoa(env.Attempt),
		"SYMPHONY_FENCE=" + strconv.FormatInt(env.Fence, 10),
		"SYMPHONY_CONTENT_TYPE=" + env.ContentType,
		"SYMPHONY_CREATED_AT=" + env.CreatedAt.Format(time.RFC3339Nano),
		"SYMPHONY_HEADERS=" + string(headers),
	}
	for _, name := range []string{"PATH", "HOME", "LANG"} {
		if value, ok := os.LookupEnv(name); ok {
			vars = append(vars, name+"="+value)
		}
	}
	return vars
}

func (c *Command) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.Default()
}

// A CommandError is a program that failed.
type CommandError struct {
	Program string // its name without the path
	Code    int    // its exit code; -1: a signal ended it
	State   string // "exit status 3", "signal: killed"
	Stderr  string // the last 4 KiB of its standard error
}

// Error names the program, how it ended and what it said.
func (e *CommandError) Error() string {
	text := e.Program + ": " + e.State
	if said := strings.TrimSpace(e.Stderr); said != "" {
		text += ": " + said
	}
	return text
}

// ErrorClass is "temporary" for exit code 75, "signal", or "exit_" and the code.
func (e *CommandError) ErrorClass() string {
	switch e.Code {
	case exitTemporary:
		return "temporary"
	case -1:
		return "signal"
	}
	return "exit_" + strconv.Itoa(e.Code)
}
