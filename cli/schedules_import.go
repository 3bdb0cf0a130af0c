package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/schedule/cron"
	"github.com/symphony-messenger/symphony/schedule/cronimport"
)

// The formats of import.
const (
	fromVercel        = "vercel"
	fromCrontab       = "crontab"
	fromSystemCrontab = "system-crontab"
	fromPgCron        = "pg_cron"
)

// importFlags are what import is told about a file.
type importFlags struct {
	from, baseURL, zone, database string
	queue, owner, missed          string
	only                          []string
	paused, handlers, dryRun      bool
}

// An importReport is what import prints.
type importReport struct {
	Owner     string             `json:"owner"`
	DryRun    bool               `json:"dry_run"`
	Schedules []importedSchedule `json:"schedules"`
	Left      []leftEntry        `json:"left"` // what cannot be carried over
	Notes     []string           `json:"notes"`
}

type importedSchedule struct {
	schedule.Applied
	Source     string   `json:"source"`
	Expression string   `json:"expression"`
	Timezone   string   `json:"timezone"`
	Type       string   `json:"type"`
	Exec       string   `json:"exec"` // of the handler, as the configuration has it
	Paused     bool     `json:"paused"`
	Notes      []string `json:"notes,omitempty"`
}

type leftEntry struct {
	Source string `json:"source"`
	Entry  string `json:"entry"`
	Reason string `json:"reason"`
}

func (s *session) schedulesImport() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use: "import FILE --from FORMAT", Short: "Take over the cron jobs of Vercel, a crontab or pg_cron", Args: s.arguments(1, 1),
		Long: `Take over cron jobs (- for standard input). Each becomes a schedule, whose messages, of
type cron/NAME, want a handler; what cannot be carried over is listed with the reason.
The formats:

  vercel          the crons of a vercel.json; give --base-url
  crontab         as "crontab -l" prints it
  system-crontab  /etc/crontab and /etc/cron.d: with a user before each command
  pg_cron         the rows of cron.job as a JSON array

The handlers are printed as the configuration (symphony.yaml) has them, by --handlers
nothing else. Doing it twice changes nothing. What has been changed in the file is
changed, and nothing is dropped: take an entry out of the file when its schedule has
taken over, else it runs twice. "schedules delete" ends a schedule.

Files of several machines or projects want an --owner each: the same owner's
schedule of a name is replaced, another owner's is an error.`,
		Example: fmt.Sprintf(`  crontab -l | %[1]s schedules import - --from crontab --tz Europe/Berlin --dry-run
  %[1]s schedules import vercel.json --from vercel --base-url https://shop.example.com --only api-cron-digest
  psql -Atc "select coalesce(json_agg(j order by jobid), '[]') from cron.job j" | %[1]s schedules import - --from pg_cron`, s.opts.Name),
		RunE: func(cmd *cobra.Command, args []string) error { return s.importSchedules(cmd, args[0], f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "vercel, crontab, system-crontab or pg_cron")
	flags.StringVar(&f.baseURL, "base-url", "", "where the application of a vercel.json is, such as https://shop.example.com")
	flags.StringVar(&f.zone, "tz", "", "the time zone of the machine of a crontab, or cron.timezone of pg_cron (default UTC)")
	flags.StringVar(&f.database, "database", "", "only the pg_cron jobs of this database")
	flags.StringVar(&f.queue, "queue", "", "of the messages (default \"default\")")
	flags.StringVar(&f.owner, "owner", "", "whose schedules they are (default import:FORMAT)")
	flags.StringVar(&f.missed, "missed", string(schedule.MissedLast), "which missed runs are made up: skip, as cron does, last or all")
	flags.StringArrayVar(&f.only, "only", nil, "only the schedule of this name; may be repeated")
	flags.BoolVar(&f.paused, "paused", false, "begin paused, until somebody resumes them; \"schedules run\" tries one")
	flags.BoolVar(&f.handlers, "handlers", false, "print the handlers for the configuration, and do nothing else; needs no store")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would change, and change nothing")
	_ = c.RegisterFlagCompletionFunc("from", // in other commands it is a time
		cobra.FixedCompletions([]string{fromVercel, fromCrontab, fromSystemCrontab, fromPgCron}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (s *session) importSchedules(cmd *cobra.Command, name string, f importFlags) error {
	im, err := s.readCronJobs(cmd, name, f)
	if err != nil {
		return err
	}
	if f.handlers {
		_, err := io.WriteString(s.std.Out, handlersYAML(im.Jobs))
		return err
	}
	f.owner = cmp.Or(f.owner, "import:"+f.from)
	declared := make([]schedule.Schedule, len(im.Jobs))
	for i := range im.Jobs {
		declared[i] = declaredBy(&im.Jobs[i], f)
	}
	return s.withDeclaring(cmd.Context(), func(m *schedule.Manager) error {
		applied, err := m.Merge(cmd.Context(), f.owner, declared, f.dryRun)
		if err != nil {
			return err
		}
		r := newImportReport(im, applied, f)
		return s.show(r, func(w io.Writer) { s.writeImport(w, r, im.Jobs) })
	})
}

// readCronJobs reads a file by its format, and chooses among its jobs.
func (s *session) readCronJobs(cmd *cobra.Command, name string, f importFlags) (*cronimport.Import, error) {
	for flag, formats := range map[string][]string{"base-url": {fromVercel}, "tz": {fromCrontab, fromSystemCrontab, fromPgCron}, "database": {fromPgCron}} {
		if cmd.Flags().Changed(flag) && !slices.Contains(formats, f.from) {
			return nil, s.usage("", "--%s is for --from %s", flag, strings.Join(formats, ", "))
		}
	}
	var read func(r io.Reader) (*cronimport.Import, error)
	switch f.from {
	case "":
		return nil, s.usage("it is one of vercel, crontab, system-crontab and pg_cron", "what is in %s? There is no --from", name)
	case fromVercel:
		if f.baseURL == "" {
			return nil, s.usage("such as --base-url https://shop.example.com", "where is the application? There is no --base-url")
		}
		read = func(r io.Reader) (*cronimport.Import, error) {
			return cronimport.Vercel(r, cronimport.VercelOptions{BaseURL: f.baseURL})
		}
	case fromCrontab, fromSystemCrontab:
		read = func(r io.Reader) (*cronimport.Import, error) {
			return cronimport.Crontab(r, cronimport.CrontabOptions{Timezone: f.zone, UserColumn: f.from == fromSystemCrontab})
		}
	case fromPgCron:
		read = func(r io.Reader) (*cronimport.Import, error) {
			rows, err := cronimport.ReadPgCron(r)
			if err != nil {
				return nil, err
			}
			return cronimport.PgCron(rows, cronimport.PgCronOptions{Timezone: f.zone, Database: f.database})
		}
	default:
		return nil, s.usage("", "--from %.80q: it must be vercel, crontab, system-crontab or pg_cron", f.from)
	}
	im, err := s.readWith(name, read)
	if err != nil {
		return nil, err
	}
	return im, s.choose(im, f.only)
}

func (s *session) readWith(name string, read func(r io.Reader) (*cronimport.Import, error)) (*cronimport.Import, error) {
	in := s.std.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			if pathError, ok := errors.AsType[*os.PathError](err); ok {
				err = pathError.Err
			}
			return nil, s.usage("", "%w", fmt.Errorf("read %s: %w", name, err))
		}
		defer file.Close()
		in = file
	}
	im, err := read(in)
	if _, ok := errors.AsType[*cron.ZoneError](err); ok {
		return nil, err
	}
	if errors.Is(err, cronimport.ErrBaseURL) {
		return nil, s.usage("", "--base-url: %w", err)
	}
	if err != nil {
		return nil, s.usage("", "%s: %w", name, err)
	}
	return im, nil
}

// choose keeps the jobs that are asked for by name.
func (s *session) choose(im *cronimport.Import, only []string) error {
	for _, name := range only {
		if !slices.ContainsFunc(im.Jobs, func(j cronimport.Job) bool { return j.Name == name }) {
			return &failure{ExitNotFound, "--dry-run without --only shows the names", fmt.Errorf("no entry becomes a schedule %.80s", name)}
		}
	}
	if len(only) > 0 {
		im.Jobs = slices.DeleteFunc(im.Jobs, func(j cronimport.Job) bool { return !slices.Contains(only, j.Name) })
		im.Left = nil
	}
	return nil
}

func declaredBy(j *cronimport.Job, f importFlags) schedule.Schedule {
	sch := schedule.Schedule{
		Name: j.Name, Kind: schedule.KindCron, Expression: j.Expression, Timezone: j.Timezone, Missed: schedule.Missed(f.missed),
		Paused:  j.Paused || f.paused,
		Message: schedule.Message{Type: j.Type, ContentType: j.ContentType, Body: j.Body, Queue: f.queue},
	}
	if j.OneAtATime {
		sch.Overlap = schedule.OverlapQueue
	}
	return sch
}

func newImportReport(im *cronimport.Import, applied []schedule.Applied, f importFlags) importReport {
	r := importReport{Owner: f.owner, DryRun: f.dryRun, Schedules: []importedSchedule{}, Left: []leftEntry{}, Notes: im.Notes}
	became := make(map[string]schedule.Applied, len(applied))
	for _, a := range applied {
		became[a.Name] = a
	}
	for _, j := range im.Jobs {
		r.Schedules = append(r.Schedules, importedSchedule{
			Applied: became[j.Name], Source: j.Source, Expression: j.Expression, Timezone: j.Timezone, Type: j.Type,
			Exec: execOf(j.Handler), Paused: j.Paused || f.paused, Notes: j.Notes,
		})
	}
	for _, l := range im.Left {
		r.Left = append(r.Left, leftEntry(l))
	}
	if f.missed != string(schedule.MissedSkip) {
		r.Notes = append(r.Notes, "a run that nobody could fire in time is made up; --missed skip leaves it out, as before")
	}
	if f.from == fromVercel {
		r.Notes = append(r.Notes, "curl has the secret among its arguments, which other users of the machine can see: `curl --header @FILE` reads it instead")
	}
	return r
}

func (s *session) writeImport(w io.Writer, r importReport, jobs []cronimport.Job) {
	t := table{{"NAME", "RESULT", "FIELDS", "WHEN", "SOURCE"}}
	changed := false
	for _, j := range r.Schedules {
		changed = changed || j.Action != schedule.Unchanged
		t = append(t, []string{j.Name, appliedWord(j.Action, r.DryRun), strings.Join(j.Fields, ", "), j.Expression + " " + j.Timezone, j.Source})
	}
	if s.write(t); len(jobs) == 0 {
		s.note("there is nothing to take over")
	}
	if len(r.Left) > 0 {
		fmt.Fprintln(w)
		t := table{{"NOT CARRIED OVER", "ENTRY", "REASON"}}
		for _, l := range r.Left {
			t = append(t, []string{l.Source, cut(l.Entry, 60), l.Reason})
		}
		s.write(t)
	}
	if changed {
		fmt.Fprint(w, "\n# For the configuration (symphony.yaml), so that workers handle the messages:\n", handlersYAML(jobs))
	}
	for _, j := range r.Schedules {
		for _, note := range j.Notes {
			s.note("note: %s: %s", j.Name, note)
		}
	}
	if changed {
		for _, note := range r.Notes {
			s.note("note: %s", note)
		}
	}
	if r.DryRun {
		s.note("nothing was changed")
	}
}

// handlersYAML is the part of the configuration that handles the messages of jobs.
func handlersYAML(jobs []cronimport.Job) string {
	if len(jobs) == 0 {
		return "handlers: {}\n"
	}
	var b strings.Builder
	b.WriteString("handlers:\n")
	for _, j := range jobs {
		var quoted bytes.Buffer // text of JSON is text of YAML
		e := json.NewEncoder(&quoted)
		e.SetEscapeHTML(false)
		if e.Encode(execOf(j.Handler)) == nil { // a string always can be
			fmt.Fprintf(&b, "  %s:\n    exec: %s", j.Type, quoted.String())
		}
	}
	return b.String()
}

// execOf is the command for a handler in the configuration, which replaces ${NAME}, and leaves $${NAME}
// to the program.
func execOf(h cronimport.Handler) string {
	if len(h.Command) > 0 {
		return literal(h.String())
	}
	words := []string{"curl", "--fail", "--silent", "--show-error", "--globoff", "--output", "/dev/null", "--request", h.Method}
	if h.Method == "POST" {
		words = append(words, "--data-binary", "@-")
	}
	line := cronimport.Handler{Command: words}.String()
	if h.BearerEnv != "" {
		line += " --header 'Authorization: Bearer ${" + h.BearerEnv + "}'"
	}
	return line + " " + literal(cronimport.Handler{Command: []string{h.URL}}.String())
}

func literal(text string) string { return strings.ReplaceAll(text, "${", "$${") }
