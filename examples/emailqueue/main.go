// Emailqueue moves an application's own email_queue table to Symphony, one row at a time, while the
// application keeps inserting and its old cron job keeps sending. It starts everything that it needs:
// an SQLite file, an SMTP server, the application, the cron job and worker processes, which it kills
// if asked to. With -dsn it works in an empty database of PostgreSQL instead. See README.md.
//
//	go run ./examples/emailqueue [-rows 1000] [-kills 0] [-workers 2] [-rate 250] [-sync full] [-dir DIR]
//	go run ./examples/emailqueue -dsn postgres://user@host/database [-rows 1000] …
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "emailqueue:", err)
		os.Exit(1)
	}
}

// run is the program: the demonstration, or one of the processes that it starts.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && (args[0] == "worker" || args[0] == "cron") {
		return runProcess(ctx, args[0], args[1:], stderr)
	}
	d := demonstration{out: stdout}
	flags := flag.NewFlagSet("emailqueue", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&d.rows, "rows", 1000, "rows of email_queue")
	flags.IntVar(&d.kills, "kills", 0, "workers to kill with SIGKILL, at random moments")
	flags.IntVar(&d.workers, "workers", 2, "worker processes")
	flags.IntVar(&d.perSecond, "rate", 250, "rows that the application inserts in a second")
	flags.StringVar(&d.dsn, "dsn", "", "an empty database of PostgreSQL to work in, postgres://user@host/database; what is made there is kept (default: an SQLite file)")
	flags.StringVar(&d.sync, "sync", "full", "when SQLite syncs: full also survives a loss of power, normal any crash of processes")
	flags.StringVar(&d.dir, "dir", "", "folder for the SQLite file and the log of the processes; it is kept (default: a temporary one)")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp
	}
	if flags.NArg() > 0 || d.rows < 1 || d.kills < 0 || d.workers < 1 || d.perSecond < 1 || d.sync != "full" && d.sync != "normal" ||
		d.dsn != "" && d.sync != "full" {
		flags.Usage()
		return flag.ErrHelp
	}
	_, err := d.run(ctx)
	return err
}

// Times of the processes. Pauses are short because the demonstration is; a real worker retries after
// minutes and looks at the table every second or so. Patience is not: a mail that is taken after its
// timeout, or recorded after its lease, is sent again with no kill to explain it, and the machine may be
// slow. So the lease is the default, and only a silent server ever makes a mail wait for its timeout.
const (
	mailTimeout = 10 * time.Second
	busyTimeout = time.Minute // for SQLite's write lock, in each process and the application
	retryDelay  = 200 * time.Millisecond
	moveEvery   = 100 * time.Millisecond
	lookEvery   = 500 * time.Millisecond
)

// options of a process, as they are on its command line.
type options struct {
	file string // of SQLite; "": PostgreSQL
	sync string // of SQLite, full or normal; see the flag
	dsn  string // of PostgreSQL: in the environment, where no other user sees the password
	smtp string // host:port
}

// dsnVariable has the DSN in the environment of processes.
const dsnVariable = "EMAILQUEUE_DSN"

func (o options) args(role string) []string {
	if o.dsn != "" {
		return []string{role, "-smtp", o.smtp}
	}
	return []string{role, "-database", o.file, "-sync", o.sync, "-smtp", o.smtp}
}

func (o options) env() []string { return []string{dsnVariable + "=" + o.dsn} }

// runProcess is a worker or the cron job, until ctx or the standard input ends.
func runProcess(ctx context.Context, role string, args []string, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("emailqueue "+role, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.file, "database", "", "the file of SQLite (default: the DSN in "+dsnVariable+")")
	flags.StringVar(&o.sync, "sync", "full", "full or normal")
	flags.StringVar(&o.smtp, "smtp", "", "host:port of the mail server")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp
	}
	if o.file == "" {
		o.dsn = os.Getenv(dsnVariable)
	}
	if flags.NArg() != 1 || o.file == "" && o.dsn == "" || o.smtp == "" {
		flags.Usage()
		return flag.ErrHelp
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // waits for whoever started the process, and ends with it
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	name := flags.Arg(0)
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})).With("process", name)
	mail := &mailer{addr: o.smtp, name: name, timeout: mailTimeout}
	if role == "cron" {
		return runCron(ctx, o, mail, log)
	}
	return runWorker(ctx, o, mail, log)
}

func runCron(ctx context.Context, o options, mail *mailer, log *slog.Logger) error {
	db, err := openDatabase(ctx, o)
	if err != nil {
		return err
	}
	defer db.close()
	job := &cronJob{db: db, mail: mail, batch: 10, every: 300 * time.Millisecond, log: log}
	return job.run(ctx)
}

// runWorker is all that is new in production: one process that moves rows, sends mails and writes
// outcomes back. Start as many of them as you like.
func runWorker(ctx context.Context, o options, mail *mailer, log *slog.Logger) error {
	store, err := openBackend(ctx, o, log)
	if err != nil {
		return err
	}
	defer store.close()
	bus := &symphony.Bus{Transport: store.transport(), Owner: "emailqueue", Logger: log}
	handler := &sender{store: store, bus: bus, mail: mail, log: log}
	symphony.Handle(bus, handler.handle, symphony.Retry(retry.Exponential{Delay: retryDelay}))

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var beside sync.WaitGroup
	beside.Go(func() { (&mover{store: store, bus: bus, batch: 50, every: moveEvery, log: log}).run(ctx) })
	beside.Go(func() { (&reconciler{db: store.database(), every: lookEvery, log: log}).run(ctx) })
	worker := &symphony.Worker{Bus: bus, Name: mail.name, Concurrency: 8, Logger: log}
	err = worker.Run(ctx)
	stop()
	beside.Wait()
	return err
}
