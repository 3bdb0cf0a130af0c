package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/monitor"
)

func (s *session) migrate() *cobra.Command {
	command := func(use, short, long string, run func(*cobra.Command, monitor.Migrator) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Long: short + ".\n\n" + long, Args: s.arguments(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return withPower(cmd.Context(), s, "be migrated", func(m monitor.Migrator) error { return run(cmd, m) })
			},
		}
	}
	return s.group("migrate", "Set up the schema of a store and bring it up to date", `
Steps go forward only. The release before still runs on the schema of this one,
so that programs can be replaced one by one after "migrate up".`,
		command("up", "Create the store if need be and apply what is pending",
			"Of SQLite that is the file, of PostgreSQL the schema: the database must be there.\nAny number of processes may do so at once.", s.migrateUp),
		command("status", "List the steps, applied and pending", "The exit code is 8 when steps are pending.", s.migrateStatus),
		s.migrateSQL(),
	)
}

func (s *session) migrateUp(cmd *cobra.Command, m monitor.Migrator) error {
	applied, err := m.Migrate(cmd.Context())
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

func (s *session) migrateStatus(cmd *cobra.Command, m monitor.Migrator) error {
	all, err := m.Migrations(cmd.Context())
	if err != nil {
		return err
	}
	if err := list(s, all, func() table { return migrationTable(all) }); err != nil {
		return err
	}
	pending := 0
	for _, step := range all {
		if step.Applied.IsZero() {
			pending++
		}
	}
	if pending > 0 {
		return &failure{
			ExitUnhealthy, fmt.Sprintf("run `%s migrate up` with the same DSN", s.opts.Name),
			fmt.Errorf("%d of %d steps are pending", pending, len(all)),
		}
	}
	return nil
}

func migrationTable(steps []monitor.Migration) table {
	t := table{{"VERSION", "NAME", "APPLIED"}}
	for _, step := range steps {
		applied := moment(step.Applied)
		if applied == "" {
			applied = "pending"
		}
		t = append(t, []string{strconv.Itoa(step.Version), step.Name, applied})
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

Without flags, all steps, for those who apply them with a tool of their own.

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
			dsn, err := s.findDSN(emptyDSN)
			if err != nil {
				return err
			}
			s.dsn = dsn
			return withPower(cmd.Context(), s, "be set up with roles", func(p monitor.Scripter) error {
				text := p.RolesSQL()
				if supabase {
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
		if m.Version > after {
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
