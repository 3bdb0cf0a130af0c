package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/examples/emailqueue/mailserver"
	"github.com/symphony-messenger/symphony/monitor"
)

// A demonstration is the world around the workers: the application, its cron job, the mail server, and
// somebody who kills workers.
type demonstration struct {
	rows, kills, workers int
	perSecond            int       // rows that the application inserts
	dsn                  string    // of an empty database of PostgreSQL; "": an SQLite file
	sync                 string    // of SQLite: full or normal
	dir                  string    // "": a temporary one
	executable           string    // of the processes; "": this program
	out                  io.Writer // for people; the last line is the report

	begun time.Time
	mu    sync.Mutex // of out, while the demonstration works
	store backend
	db    database
	mail  *mailserver.Server
	app   *application
	crew  *crew
}

// limit is when the demonstration gives up; it is far more than it needs.
const limit = 5 * time.Minute

// run does everything and prints the report. Its error says what went wrong.
func (d *demonstration) run(ctx context.Context) (r report, err error) {
	d.begun = time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("rows are left after %v", limit))
	defer cancel()

	dir, err := d.folder()
	if err != nil {
		return report{}, err
	}
	defer func() {
		switch {
		case err != nil && d.dir == "" && os.Remove(dir) == nil: // nothing was in it yet
		case err != nil && d.dsn != "":
			err = fmt.Errorf("%w (%s is kept in %s)", err, logName, dir)
		case err != nil:
			err = fmt.Errorf("%w (the database and %s are kept in %s)", err, logName, dir)
		case d.dir == "":
			err = os.RemoveAll(dir)
		}
	}()
	o := options{dsn: d.dsn, sync: d.sync}
	if d.dsn == "" {
		o.file = filepath.Join(dir, databaseName)
	}
	if err := d.open(ctx, o); err != nil {
		return report{}, err
	}
	o.smtp = d.mail.Addr()
	defer func() { err = errors.Join(err, d.mail.Close(), d.db.close(), d.store.close()) }()
	if err := d.work(ctx, o, filepath.Join(dir, logName), stop); err != nil {
		return report{}, err
	}
	return d.report(ctx)
}

// The files in the folder of a demonstration.
const (
	databaseName = "emailqueue.db"
	logName      = "processes.log" // what the processes log
)

// folder returns the path of a folder that there is and that has no database.
func (d *demonstration) folder() (dir string, err error) {
	if dir = d.dir; dir == "" {
		if dir, err = os.MkdirTemp("", "emailqueue-"); err != nil {
			return "", err
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	file := filepath.Join(dir, databaseName)
	if _, err := os.Stat(file); d.dsn == "" && err == nil {
		return "", fmt.Errorf("%s is there already: delete it or choose another -dir", file)
	}
	return dir, nil
}

// open makes what is needed in the database and starts the mail server.
func (d *demonstration) open(ctx context.Context, o options) (err error) {
	if d.db, err = openDatabase(ctx, o); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.db.close())
		}
	}()
	if o.dsn != "" {
		if err := checkEmpty(ctx, d.db); err != nil {
			return err
		}
	}
	if d.store, err = openBackend(ctx, o, nil); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.store.close())
		}
	}()
	m, _ := symphony.As[monitor.Migrator](d.store.transport())
	if _, err := m.Migrate(ctx); err != nil {
		return err
	}
	if err := createTables(ctx, d.db); err != nil {
		return err
	}
	d.mail, err = mailserver.Start()
	return err
}

// work runs the application, the cron job and the workers until every row has ended.
func (d *demonstration) work(ctx context.Context, o options, logFile string, fatal context.CancelCauseFunc) error {
	if d.executable == "" {
		var err error
		if d.executable, err = os.Executable(); err != nil {
			return err
		}
	}
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	d.crew = &crew{executable: d.executable, env: o.env(), output: log, fatal: fatal, killed: make(map[string]time.Time)}
	defer d.crew.stop()
	d.app = &application{db: d.db, rows: d.rows, perSecond: d.perSecond}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop() // before it waits for those two

	running.Go(func() {
		if err := d.app.run(ctx); err != nil && ctx.Err() == nil {
			fatal(err)
		}
	})
	if err := d.crew.start("cron", append(o.args("cron"), "cron")...); err != nil {
		return err
	}
	for i := range d.workers {
		if err := d.crew.keep(fmt.Sprintf("worker-%d", i+1), o.args("worker")...); err != nil {
			return err
		}
	}
	running.Go(func() {
		if err := d.kill(ctx); err != nil && ctx.Err() == nil {
			fatal(err)
		}
	})
	return d.watch(ctx)
}

// kill kills workers whenever the mail server has taken some random number of mails more, so that all
// kills fall into the work, however fast it goes.
func (d *demonstration) kill(ctx context.Context) error {
	at := make([]int, d.kills)
	for i := range at {
		at[i] = rand.IntN(d.rows * 4 / 5)
	}
	slices.Sort(at)
	for _, n := range at {
		for d.mail.Count() < n {
			if err := wait(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		if err := wait(ctx, time.Duration(rand.Int64N(int64(100*time.Millisecond)))); err != nil {
			return err
		}
		name := ""
		for name == "" { // all may be dead at this moment
			var err error
			if name, err = d.crew.kill(); err != nil {
				return err
			}
			if err := wait(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		d.print("killed %s", name)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// watch prints the progress until every row has ended and every kill was made.
func (d *demonstration) watch(ctx context.Context) error {
	const look = 100 * time.Millisecond
	for n := 1; ; n++ {
		if err := wait(ctx, look); err != nil {
			return err
		}
		count, err := d.count(ctx)
		if err != nil {
			return err
		}
		ended := count[sent]+count[failed] == d.rows
		if n%20 == 0 || ended {
			d.print("%5d queued  %5d processing  %5d sent  %5d failed", count[queued], count[processing], count[sent], count[failed])
		}
		if ended && len(d.crew.deaths()) == d.kills {
			return nil
		}
	}
}

// count counts rows by state.
func (d *demonstration) count(ctx context.Context) (map[string]int, error) {
	rs, err := d.db.query(ctx, `select status, count(*) from email_queue group by status`)
	if err != nil {
		return nil, fmt.Errorf("count rows of email_queue: %w", err)
	}
	defer rs.Close()
	count := make(map[string]int)
	for rs.Next() {
		var status string
		var n int
		if err := rs.Scan(&status, &n); err != nil {
			return nil, fmt.Errorf("count rows of email_queue: %w", err)
		}
		count[status] = n
	}
	return count, rs.Err()
}

// report collects the evidence, prints the report, and returns an error for what must not be.
func (d *demonstration) report(ctx context.Context) (report, error) {
	e := evidence{taken: d.mail.Taken(), deaths: d.crew.deaths()}
	var err error
	if e.rows, err = selectRows(ctx, d.db, `select `+columns+` from email_queue order by id`); err != nil {
		return report{}, fmt.Errorf("read email_queue: %w", err)
	}
	if _, err := selectOne(ctx, d.db, `select count(*) from email_queue q
		join email_queue_messages l on l.email_id = q.id where q.status = 'failed'`, nil, &e.deadRows); err != nil {
		return report{}, fmt.Errorf("read email_queue: %w", err)
	}
	counter, _ := symphony.As[monitor.Counter](d.store.transport())
	counts, err := counter.Counts(ctx)
	if err != nil {
		return report{}, err
	}
	for _, c := range counts.Counts {
		switch c.Status {
		case monitor.Pending, monitor.Scheduled, monitor.Processing:
			e.live += int(c.N)
		case monitor.Failed:
			e.deadLetters += int(c.N)
		}
	}
	r, wrong := judge(e)
	byCron := 0
	for _, m := range e.taken {
		if m.SentBy == "cron" {
			byCron++
		}
	}
	switch {
	case d.dsn != "":
		fmt.Fprint(d.out, "\nThe database has everything still: the tables email_queue and email_queue_messages, and the schema symphony.\n")
	case d.dir != "":
		fmt.Fprintf(d.out, "\nThe database and %s are kept in %s.\n", logName, d.dir)
	}
	fmt.Fprintf(d.out, "\n%d rows in %.1f s. The mail server took %d mails: %d from the workers, %d from the old cron job.\n",
		r.Rows, time.Since(d.begun).Seconds(), len(e.taken), len(e.taken)-byCron, byCron)
	fmt.Fprintf(d.out, "%d rows are sent, %d have failed, %d needed more than one attempt.\n", r.Sent, r.Dead, r.Retried)
	fmt.Fprintf(d.out, "%d workers were killed; %d mails were taken twice, %d of them because of a kill.\n", r.Kills, r.Twice, r.TwiceExplained)
	for _, line := range wrong[:min(len(wrong), 20)] {
		fmt.Fprintln(d.out, "WRONG:", line)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	fmt.Fprintf(d.out, "%s\n", line)
	if len(wrong) > 0 {
		return r, fmt.Errorf("%d things are wrong, the first: %s", len(wrong), wrong[0])
	}
	return r, nil
}

// print prints a line of the progress.
func (d *demonstration) print(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, "%6.1f s  %s\n", time.Since(d.begun).Seconds(), fmt.Sprintf(format, args...))
}
