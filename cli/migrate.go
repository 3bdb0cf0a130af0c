package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) migrate() *cobra.Command {
	command := func(use, short, long string, run func(*cobra.Command) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Long: short + ".\n\n" + long, Args: s.arguments(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd) },
		}
	}
	return s.group("migrate", "Set up the schema of a store and bring it up to date", `
Steps go forward only. The release before still runs on the schema of this one,
so that programs can be replaced one by one after "migrate up"; where the changelog
says that it does not, the store refuses it. Of a configuration with several
transports all are meant, unless one is chosen with --transport.`,
		s.migrateUpCommand("up"),
		command("status", "List the steps, applied and pending", "The exit code is 8 when steps are pending.", s.migrateStatus),
		s.migrateSQL(),
	)
}

func (s *session) migrateUpCommand(use string) *cobra.Command {
	dryRun := false
	up := &cobra.Command{
		Use:   use,
		Short: "Create the store if need be and apply what is pending",
		Long: `Create the store if need be and apply what is pending.

Of SQLite that is the file, of PostgreSQL the schema: the database must be there.
Any number of processes may do so at once.`,
		Args: s.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.migrateUp(cmd, dryRun) },
	}
	up.Flags().BoolVar(&dryRun, "dry-run", false, "list what is pending, and change nothing")
	return up
}

// A transportStep is a step of the schema of one of several transports.
type transportStep struct {
	Transport string `json:"transport,omitempty"`
	monitor.Migration
}

// migrators runs fn for the migrator of each transport that the flags choose, and collects what it returns, with
// the name of the transport when the configuration has several.
func (s *session) migrators(ctx context.Context, fn func(monitor.Migrator) ([]monitor.Migration, error)) (all []transportStep, err error) {
	c, err := s.configure("")
	if err != nil {
		return nil, err
	}
	targets, err := s.targets(c)
	if err != nil {
		return nil, err
	}
	for _, target := range targets {
		steps, err := s.migrator(ctx, target, fn)
		if err != nil {
			return all, err
		}
		for _, step := range steps {
			of := transportStep{Migration: step}
			if len(c.Transports) > 1 {
				of.Transport = target.Name
			}
			all = append(all, of)
		}
	}
	return all, nil
}

func (s *session) migrator(ctx context.Context, of config.Transport, fn func(monitor.Migrator) ([]monitor.Migration, error)) (steps []monitor.Migration, err error) {
	t, err := s.open(ctx, of)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, app.Close(t)) }()
	m, ok := symphony.As[monitor.Migrator](t)
	if !ok {
		return nil, s.usage("", "this store cannot be migrated: %w", symphony.ErrUnsupported)
	}
	return fn(m)
}

func pending(steps []monitor.Migration) []monitor.Migration {
	return slices.DeleteFunc(steps, func(step monitor.Migration) bool { return !step.Applied.IsZero() })
}

func (s *session) migrateUp(cmd *cobra.Command, dryRun bool) error {
	ctx := cmd.Context()
	applied, err := s.migrators(ctx, func(m monitor.Migrator) ([]monitor.Migration, error) {
		if dryRun {
			steps, err := m.Migrations(ctx)
			return pending(steps), err
		}
		return m.Migrate(ctx)
	})
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		s.note("nothing to do: the schema is up to date")
	}
	if s.output == formatTable && len(applied) == 0 {
		return nil
	}
	return list(s, applied, func() table { return migrationTable(applied) })
}

func (s *session) migrateStatus(cmd *cobra.Command) error {
	all, err := s.migrators(cmd.Context(), func(m monitor.Migrator) ([]monitor.Migration, error) { return m.Migrations(cmd.Context()) })
	if err != nil {
		return err
	}
	if err := list(s, all, func() table { return migrationTable(all) }); err != nil {
		return err
	}
	n := 0
	for _, step := range all {
		if step.Applied.IsZero() {
			n++
		}
	}
	if n > 0 {
		return &failure{
			ExitUnhealthy, fmt.Sprintf("run `%s migrate up` with the same DSN", s.opts.Name),
			fmt.Errorf("%d of %d steps are pending", n, len(all)),
		}
	}
	return nil
}

func migrationTable(steps []transportStep) table {
	t := table{{"VERSION", "NAME", "APPLIED"}}
	several := len(steps) > 0 && steps[0].Transport != ""
	if several {
		t[0] = slices.Insert(t[0], 0, "TRANSPORT")
	}
	for _, step := range steps {
		name := step.Name
		if step.SQL == "" {
			name += " (of a later release)"
		}
		row := []string{strconv.Itoa(step.Version), name, cmp.Or(moment(step.Applied), "pending")}
		if several {
			row = slices.Insert(row, 0, step.Transport)
		}
		t = append(t, row)
	}
	return t
}

// emptyDSN is for what only reads what the program itself has.
const emptyDSN = "postgres:///postgres"

func (s *session) migrateSQL() *cobra.Command {
	var roles, supabase bool
	var after int
	cmd := &cobra.Command{
		Use: "sql", Short: "Print the SQL of the steps, or of the roles", Args: s.arguments(0, 0),
		Long: `Print the SQL of the steps, or of the roles.

Without flags, all steps, for those who apply them with a tool of their own. Of
several transports it is that of the default one, or of --transport.

--roles prints what makes the roles of PostgreSQL and gives them their rights.
They belong to the whole cluster, so whoever executes it needs CREATEROLE. It may
come before the first step or after any, and be repeated:
  symphony migrate sql --roles | psql "$ADMIN_DSN"

--supabase prints steps and roles as one migration of the Supabase command line:
  symphony migrate sql --supabase | supabase migration new symphony

The latter two connect to nothing: a DSN only says which schema it is, symphony
if there is none.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !roles && !supabase {
				return withPower(cmd.Context(), s, "be migrated", func(m monitor.Migrator) error { return s.printSteps(cmd, m, after) })
			}
			if roles && (supabase || cmd.Flags().Changed("after")) {
				return s.usage("", "--roles goes with no other flag: the roles are the same after every step, and --supabase makes them too")
			}
			if _, err := s.configure(emptyDSN); err != nil {
				return err
			}
			s.dsn, s.transport = s.store, ""
			return withPower(cmd.Context(), s, "be set up with roles", func(p monitor.Scripter) error {
				text := p.RolesSQL()
				if supabase {
					var err error
					if text, err = p.SupabaseSQL(after); err != nil {
						return s.usage("", "%w", err)
					}
				}
				return s.show(map[string]string{"sql": text}, func(w io.Writer) { fmt.Fprint(w, text) })
			})
		},
	}
	cmd.Flags().BoolVar(&roles, "roles", false, "print what makes the roles of PostgreSQL")
	cmd.Flags().BoolVar(&supabase, "supabase", false, "print one migration for the Supabase command line")
	cmd.Flags().IntVar(&after, "after", 0, "leave out the steps up to this `version`")
	return cmd
}

func (s *session) printSteps(cmd *cobra.Command, m monitor.Migrator, after int) error {
	all, err := m.Migrations(cmd.Context())
	if err != nil {
		return err
	}
	type step struct {
		Version int    `json:"version"`
		Name    string `json:"name"`
		SQL     string `json:"sql"`
	}
	var steps []step
	for _, m := range all {
		if m.Version > after && m.SQL != "" {
			steps = append(steps, step{m.Version, m.Name, m.SQL})
		}
	}
	if s.output == formatLines {
		return list(s, steps, nil)
	}
	return s.show(steps, func(w io.Writer) {
		for _, step := range steps {
			fmt.Fprintf(w, "-- %d %s\n%s\n", step.Version, step.Name, strings.TrimRight(step.SQL, "\n"))
		}
	})
}
