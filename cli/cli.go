// Package cli is the command line. [Main] makes a program with handlers in Go the same program as
// symphony itself:
//
//	func main() {
//		cli.Main(app.Options{Name: "shop", Register: func(bus *symphony.Bus) error {
//			symphony.Handle(bus, sendInvoice)
//			return nil
//		}})
//	}
//
// Standard output is data, standard error is talk. Every error is one line that says what went wrong,
// and where it helps one that begins with "hint:" and says what to do. Exit codes are the Exit
// constants; "symphony help exit-codes" explains them.
package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/internal/nearest"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command that os.Args name and exits.
func Main(opts app.Options) {
	std := Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(Run(context.Background(), os.Args[1:], std, opts))
}

// Run runs one command and returns its exit code. It blocks until the command has ended. The end of ctx
// stops it: a worker drains, as after a first signal. Only the commands that run a worker catch
// signals (INT and TERM), and only while they run; bench does, to clean up. Config and Logger of opts are
// those of the command's flags, the environment and the file.
func Run(ctx context.Context, args []string, std Streams, opts app.Options) int {
	opts.Name = cmp.Or(opts.Name, "symphony")
	s := &session{opts: opts, std: std}
	root := s.root()
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	err := root.ExecuteContext(ctx)
	return s.report(err)
}

// A session is one run of one command.
type session struct {
	opts   app.Options
	std    Streams
	log    *slog.Logger
	logs   string // its format, text or json; "" before the configuration was read
	output format
	plain  bool // no colours
	quiet  bool
	loud   bool
	debug  bool

	dsn        string // of the flag, as the next two
	configFile string
	transport  string
	config     *config.Config // nil until it was read
	dsnFrom    string         // the environment variable that the DSN is from
	store      string         // the DSN that was used
}

func (s *session) root() *cobra.Command {
	root := s.group(s.opts.Name, "Dispatch messages, handle them, look at them and repair them", `
Messages are kept in the store that a DSN names:

  sqlite:///var/lib/app/queue.db   a file, with ?synchronous=full|normal|extra&busy_timeout=5s
  sqlite://queue.db                a file in the current directory
  postgres://user@host/database    PostgreSQL 14 or later, with the options of libpq
                                   and ?schema=symphony&pool=10&pgbouncer=true&listen_dsn=…

The DSN is that of --dsn, else of SYMPHONY_DSN, else of DATABASE_URL, else of
the configuration file: that of --config, else of SYMPHONY_CONFIG, else
./symphony.yaml if it is there. "config init" shows what can be in it.`,
		s.dev(), s.consume(), s.dispatch(), s.messages(), s.failed(), s.bulks(), s.queues(), s.types(), s.workers(), s.stats(), s.schedules(), s.migrate(), s.configuration(),
		s.doctor(), s.check(), s.bench(), s.completion(), s.version(), exitCodes())
	root.AddCommand(s.symfonyNames()...)
	root.SetHelpCommand(helpCommand())
	root.SilenceErrors, root.SilenceUsage = true, true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		s.begin()
		if err := cmd.ValidateFlagGroups(); err != nil { // cobra does so later, and its error has no exit code
			return s.usage("see `"+cmd.CommandPath()+" --help`", "%w", err)
		}
		return nil
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := "see `" + cmd.CommandPath() + " --help`"
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
			if near, ok := nearest.To(unknown.GetSpecifiedName(), flagNames(cmd)); ok {
				hint = "did you mean --" + near + "?"
			}
		}
		return s.usage(hint, "%w", err)
	})
	f := root.PersistentFlags()
	f.StringVar(&s.dsn, "dsn", "", "the store, such as sqlite://queue.db or postgres://user@host/database")
	f.StringVar(&s.configFile, "config", "", "the configuration file (default: ./symphony.yaml if it is there)")
	f.StringVar(&s.transport, "transport", "", "the transport of the configuration (default: its default)")
	f.VarP(&s.output, "output", "o", "table, json or jsonl (one object a line)")
	f.BoolVar(&s.plain, "no-color", false, "no colours; as NO_COLOR in the environment")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "only errors on standard error")
	f.BoolVarP(&s.loud, "verbose", "v", false, "log every step")
	f.BoolVar(&s.debug, "debug", false, "as --verbose, and show what an error is made of")
	s.completions(root)
	return root
}

// flagNames lists the flags of a command.
func flagNames(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// begin is called once the flags are known.
func (s *session) begin() { s.setLog(config.Log{}) }

// setLog makes the log what the configuration says, where the flags say nothing.
func (s *session) setLog(as config.Log) {
	level := slog.LevelInfo
	switch {
	case s.loud || s.debug:
		level = slog.LevelDebug
	case s.quiet:
		level = slog.LevelError
	case as.Level != "":
		_ = level.UnmarshalText([]byte(as.Level)) // the configuration has been checked
	}
	opts := &slog.HandlerOptions{Level: level}
	s.log = slog.New(slog.NewTextHandler(s.std.Err, opts))
	if s.logs = as.Format; s.logs == "json" {
		s.log = slog.New(slog.NewJSONHandler(s.std.Err, opts))
	}
	s.opts.Logger = s.log
}

// helpCommand is that of cobra, but a topic that is not there is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil && about.HasSubCommands() {
				err = about.ValidateArgs(rest)
			}
			if err != nil {
				return err
			}
			return about.Help()
		},
	}
}

// group is a command that only has others. Without arguments it shows its help; a word that is none of
// its commands is a usage error that names the nearest one.
func (s *session) group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: short + ".\n" + long, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := "see `" + cmd.CommandPath() + " --help`"
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"
		}
		return s.usage(hint, "unknown command %.50q for %q", args[0], cmd.CommandPath())
	}
	c.AddCommand(subs...)
	return c
}

// arguments refuses a number of arguments outside of least to most (less than 0: any number).
func (s *session) arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := "it is used as `" + cmd.UseLine() + "`"
		switch n := len(args); {
		case n < least:
			return s.usage(hint, "an argument is missing")
		case most >= 0 && n > most:
			return s.usage(hint, "unexpected argument %.50q", args[most])
		}
		return nil
	}
}
