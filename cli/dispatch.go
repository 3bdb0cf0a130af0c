package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
)

// largestBody bounds what is read into memory; the bus has a limit of its own, which is lower.
const largestBody = 16 << 20

// wishes are the flags of dispatch.
type wishes struct {
	queue, key, group, contentType string
	delay, window, expires         duration
	at                             instant
	priority, maxRetries           int
	headers, tags                  []string
	taken                          takenFlag
}

func (s *session) dispatch() *cobra.Command {
	w := wishes{window: duration(24 * time.Hour)}
	c := &cobra.Command{
		Use:   "dispatch TYPE [JSON|-|@FILE]",
		Short: "Store one message and print its id",
		Long: `Store one message and print its id. The body is the second argument, standard
input (-) or a file (@FILE); without one it is {}.

A body must be well-formed JSON and is stored as it is, byte for byte. With
another --content-type any bytes are a body, and none is an empty one.

A dispatch whose --key has been used for the type before stores nothing: it
prints the id of the first message, says so and succeeds. With --when-taken
replace, a message that has the key and waits gets the content of this one; with
debounce it also waits for --delay again. One that is being handled is left alone,
and this one is stored.`,
		Example: `  ` + s.opts.Name + ` dispatch send_welcome '{"user_id": 42}' --delay 10m --key welcome-42
  ` + s.opts.Name + ` dispatch resize @photo.jpg --content-type image/jpeg --priority 8
  jq -c . order.json | ` + s.opts.Name + ` dispatch order_placed - --group customer-7`,
		Args: s.arguments(1, 2),
	}
	f := c.Flags()
	f.StringVar(&w.queue, "queue", "", "the queue; default is that of the type's route, else \"default\"")
	f.Var(&w.delay, "delay", "how long it waits first, by the store's clock")
	f.Var(&w.at, "at", "when it is due (RFC 3339)")
	f.IntVar(&w.priority, "priority", 0, "1 to 10, higher first (default 5)")
	f.StringVar(&w.key, "key", "", "idempotency key: store at most one message of the type")
	w.taken.flag(c)
	f.Var(&w.window, "window", "how long --key stays taken; 0: while the message lives")
	f.StringVar(&w.group, "group", "", "one at a time and in order with the others of the group")
	f.Var(&w.expires, "expires", "no attempt starts later than that after now")
	f.IntVar(&w.maxRetries, "max-retries", 0, "attempts after the first (default: the handler decides)")
	f.StringArrayVar(&w.headers, "header", nil, "a header, as name=value; may be repeated")
	f.StringArrayVar(&w.tags, "tag", nil, "a tag by which people find it; may be repeated")
	f.StringVar(&w.contentType, "content-type", "", "of the body (default application/json)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		stamps, err := w.stamps(s, cmd.Flags().Changed)
		if err != nil {
			return err
		}
		m := symphony.Raw{Type: args[0], ContentType: w.contentType}
		if m.Body, err = s.body(args[1:], isJSON(w.contentType) || w.contentType == ""); err != nil {
			return err
		}
		return s.send(cmd, m, stamps)
	}
	return c
}

func (w *wishes) stamps(s *session, given func(string) bool) (stamps []symphony.Stamp, err error) {
	if given("window") && w.key == "" {
		return nil, s.usage("give --key as well", "--window is nothing without a key")
	}
	if given("when-taken") && w.key == "" {
		return nil, s.usage("give --key as well", "--when-taken is nothing without a key")
	}
	if given("delay") && given("at") {
		return nil, s.usage("give one of them", "--delay and --at both say when it is due")
	}
	add := func(flag string, stamp symphony.Stamp) {
		if given(flag) {
			stamps = append(stamps, stamp)
		}
	}
	add("queue", symphony.Queue(w.queue))
	add("delay", symphony.Delay(time.Duration(w.delay)))
	add("at", symphony.At(w.at.Time))
	add("priority", symphony.Priority(w.priority))
	key, err := w.taken.stamp(s, w)
	if err != nil {
		return nil, err
	}
	add("key", key)
	add("group", symphony.Group(w.group))
	add("expires", symphony.Expires(time.Duration(w.expires)))
	add("max-retries", symphony.MaxRetries(w.maxRetries))
	add("tag", symphony.Tag(w.tags...))
	for _, h := range w.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return nil, s.usage("write it as --header name=value", "header %.50q has no value", h)
		}
		stamps = append(stamps, symphony.Header(name, value))
	}
	return stamps, nil
}

// body reads the body that the arguments name.
func (s *session) body(args []string, wantJSON bool) ([]byte, error) {
	if len(args) == 0 {
		if wantJSON {
			return []byte("{}"), nil
		}
		return nil, nil
	}
	if args[0] == "-" {
		return readBody("standard input", s.std.In)
	}
	path, ok := strings.CutPrefix(args[0], "@")
	if !ok {
		return []byte(args[0]), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, s.usage("", "read the body: %w", err)
	}
	defer f.Close()
	return readBody(path, f)
}

func readBody(name string, r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, largestBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the body from %s: %w", name, err)
	}
	if len(body) > largestBody {
		return nil, fmt.Errorf("read the body from %s: %w: more than 16 MiB", name, symphony.ErrTooLarge)
	}
	return body, nil
}

func (s *session) send(cmd *cobra.Command, m symphony.Raw, stamps []symphony.Stamp) (err error) {
	opts := s.opts
	if opts.Config, err = s.configure(""); err != nil {
		return err
	}
	a, err := app.New(cmd.Context(), opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	if s.transport != "" { // it goes before the routes
		a.Bus.Transport = a.Transports[s.transport]
		for i := range a.Bus.Routes {
			a.Bus.Routes[i].Transport, a.Bus.Routes[i].InPlace = nil, false
		}
	}
	s.refuseToLose(a)
	receipt, err := a.Bus.Dispatch(cmd.Context(), m, stamps...)
	if err != nil {
		return err
	}
	switch {
	case receipt.Replaced:
		s.note("replaced: the message that has the key waits, and has this content now")
	case receipt.Duplicate:
		s.note("duplicate: that message has the key already, nothing was stored")
	}
	return s.show(receipt, func(out io.Writer) { fmt.Fprintln(out, receipt.ID) })
}

// A losing transport is one that would lose what it is sent as soon as the command ends.
type losing struct {
	symphony.Transport
	s *session
}

// Send implements symphony.Sender.
func (l losing) Send(context.Context, []*symphony.Envelope) ([]symphony.Receipt, error) {
	return nil, l.s.usage("use sqlite:// with a file, or postgres://", "memory:// would lose the message as soon as this command ends")
}

func (s *session) refuseToLose(a *app.App) {
	for _, t := range s.config.Transports {
		if !strings.HasPrefix(t.DSN, "memory://") {
			continue
		}
		memory := a.Transports[t.Name]
		if a.Bus.Transport == memory {
			a.Bus.Transport = losing{memory, s}
		}
		for i, r := range a.Bus.Routes {
			if r.Transport == memory {
				a.Bus.Routes[i].Transport = losing{memory, s}
			}
		}
	}
}
