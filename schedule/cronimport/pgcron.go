package cronimport

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// PgCronOptions say what the rows do not.
type PgCronOptions struct {
	Timezone string // the server's setting cron.timezone; "": UTC, its default
	Database string // take the jobs of this database only; "": of all
}

// A PgCronRow is a row of cron.job. Rows as JSON are what this prints:
//
//	select coalesce(json_agg(j order by jobid), '[]') from cron.job j
type PgCronRow struct {
	JobID    int64   `json:"jobid"`
	Schedule string  `json:"schedule"`
	Command  string  `json:"command"`
	NodeName string  `json:"nodename"`
	NodePort int     `json:"nodeport"`
	Database string  `json:"database"`
	Username string  `json:"username"`
	Active   *bool   `json:"active"`  // nil, before pg_cron 1.2: true
	JobName  *string `json:"jobname"` // nil: the job has none
}

// ReadPgCron reads rows as a JSON array, for [PgCron].
func ReadPgCron(r io.Reader) ([]PgCronRow, error) {
	text, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("read the rows of cron.job: %w", err)
	}
	var rows []PgCronRow
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, fmt.Errorf("read the rows of cron.job: %w", err)
	}
	return rows, nil
}

var (
	pgSeconds = regexp.MustCompile(`^([1-9]|[1-5][0-9])\s+seconds?$`)
	// pgSecret finds what must not be copied into every message: a bearer token, a key of Supabase or a JWT.
	pgSecret = regexp.MustCompile(`(?i)bearer\s+[^'"\s|)]{8,}|\b(sb_secret_|eyJ)[A-Za-z0-9_-]{10,}`)
)

// PgCron takes rows of pg_cron. Each job becomes a message whose body is its SQL, for psql as its handler. A job that is not active is paused.
func PgCron(rows []PgCronRow, opts PgCronOptions) (*Import, error) {
	im, err := newImporter(opts.Timezone)
	if err != nil {
		return nil, fmt.Errorf("read the rows of cron.job: %w", err)
	}
	im.Notes = []string{
		"a command that fails is tried again; pg_cron does not do that",
		"unschedule each job in pg_cron when its schedule takes over: else it runs twice",
	}
	for _, row := range rows {
		if opts.Database != "" && row.Database != opts.Database {
			continue
		}
		source := fmt.Sprintf("job %d", row.JobID)
		text := row.Schedule + " " + row.Command
		if pgSecret.MatchString(row.Command) {
			im.leave(source, pgSecret.ReplaceAllString(text, "…"),
				"its command holds a secret, which would be in every message: keep the secret in a vault or in the handler, and schedule a message for that")
			continue
		}
		e := entry{
			Job: Job{
				Expression:  pgExpression(row.Schedule),
				ContentType: "application/sql",
				Body:        []byte(row.Command),
				Paused:      row.Active != nil && !*row.Active,
				OneAtATime:  true,
				Handler:     Handler{Command: psql(row)},
				Source:      source,
			},
			same: strconv.FormatInt(row.JobID, 10), text: text,
		}
		if e.stem = "job-" + e.same; row.JobName != nil {
			e.stem = slug(*row.JobName)
			e.same = row.Username + "\x00" + *row.JobName // unique in cron.job
		}
		if strings.HasPrefix(e.Expression, "@every") {
			e.Notes = append(e.Notes, "it runs at the multiples of its interval since 1970, whenever the run before was")
		}
		im.add(e)
	}
	return im.done(), nil
}

// pgExpression writes a schedule of pg_cron as package cron reads it.
func pgExpression(schedule string) string {
	schedule = strings.TrimSpace(schedule)
	if m := pgSeconds.FindStringSubmatch(schedule); m != nil {
		return "@every " + m[1] + "s"
	}
	fields := strings.Fields(schedule)
	if len(fields) == 5 {
		fields[2] = strings.ReplaceAll(fields[2], "$", "L")
		return strings.Join(fields, " ")
	}
	return schedule
}

// psql is the command that runs the SQL of a row, whole and so in one transaction, as pg_cron does: psql would run
// each statement of its standard input in one of its own. Where the server is, and the password, are for its environment.
func psql(row PgCronRow) []string {
	command := []string{
		"/bin/sh", "-c", `exec psql "$@" --command="$(cat)"`, "psql",
		"--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--username=" + row.Username, "--dbname=" + row.Database,
	}
	if row.NodeName != "" && row.NodeName != "localhost" {
		command = append(command, "--host="+row.NodeName)
	}
	if row.NodePort != 0 && row.NodePort != 5432 {
		command = append(command, "--port="+strconv.Itoa(row.NodePort))
	}
	return command
}
