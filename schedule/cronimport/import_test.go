package cronimport_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule/cron"
	"github.com/symphony-messenger/symphony/schedule/cronimport"
)

var update = flag.Bool("update", false, "write testdata/*.want")

// readers read each file of testdata.
var readers = map[string]func(r io.Reader) (*cronimport.Import, error){
	"vercel.json": func(r io.Reader) (*cronimport.Import, error) {
		return cronimport.Vercel(r, cronimport.VercelOptions{BaseURL: "https://shop.example.com/"})
	},
	"user.crontab": func(r io.Reader) (*cronimport.Import, error) {
		return cronimport.Crontab(r, cronimport.CrontabOptions{Timezone: "America/New_York"})
	},
	"system.crontab": func(r io.Reader) (*cronimport.Import, error) {
		return cronimport.Crontab(r, cronimport.CrontabOptions{UserColumn: true})
	},
	"pg_cron.json": func(r io.Reader) (*cronimport.Import, error) {
		rows, err := cronimport.ReadPgCron(r)
		if err != nil {
			return nil, err
		}
		return cronimport.PgCron(rows, cronimport.PgCronOptions{})
	},
}

func open(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// show writes everything that an import has.
func show(im *cronimport.Import) string {
	var b strings.Builder
	for _, j := range im.Jobs {
		fmt.Fprintf(&b, "%s: %s\n\tname %s\n\ttype %s\n", j.Source, j.Handler, j.Name, j.Type)
		fmt.Fprintf(&b, "\tat %s in %s\n\tbody %s %q\n", j.Expression, j.Timezone, j.ContentType, j.Body)
		if j.Handler.BearerEnv != "" {
			fmt.Fprintf(&b, "\tbearer $%s\n", j.Handler.BearerEnv)
		}
		if j.Paused || j.OneAtATime {
			fmt.Fprintf(&b, "\tpaused %v, one at a time %v\n", j.Paused, j.OneAtATime)
		}
		for _, note := range j.Notes {
			fmt.Fprintf(&b, "\tnote: %s\n", note)
		}
	}
	for _, l := range im.Left {
		fmt.Fprintf(&b, "left %s: %s\n\t%s\n", l.Source, l.Entry, l.Reason)
	}
	for _, note := range im.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	return b.String()
}

func TestFiles(t *testing.T) {
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			im, err := reader(strings.NewReader(open(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(filepath.Join("testdata", name+".want"), []byte(show(im)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(open(t, name+".want"), show(im)); diff != "" {
				t.Errorf("want - got +, -update writes it:\n%s", diff)
			}
			seen := make(map[string]bool)
			for _, j := range im.Jobs {
				if err := errors.Join(symphony.CheckName("schedule", j.Name), symphony.CheckType(j.Type)); err != nil {
					t.Error(err)
				}
				zone, err := cron.Zone(j.Timezone)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := cron.Parse(j.Expression, cron.In(zone), cron.Seed(j.Name)); err != nil {
					t.Error(err)
				}
				if seen[j.Name] {
					t.Errorf("the name %s is there twice", j.Name)
				}
				seen[j.Name] = true
			}
			again, err := reader(strings.NewReader(open(t, name)))
			if diff := cmp.Diff(im, again); diff != "" || err != nil {
				t.Errorf("read again it is another: %v\n%s", err, diff)
			}
		})
	}
}

func vercel(t *testing.T, crons string) []cronimport.Job {
	t.Helper()
	im, err := cronimport.Vercel(strings.NewReader(`{"crons": [`+crons+`]}`), cronimport.VercelOptions{BaseURL: "https://a.example"})
	if err != nil {
		t.Fatal(err)
	}
	return im.Jobs
}

// Whoever changes a time, or the order, changes a schedule and does not get another one.
func TestNamesStay(t *testing.T) {
	const a, b = `{"path": "/a?x=1", "schedule": "0 1 * * *"}`, `{"path": "/a/x=1", "schedule": "0 2 * * *"}`
	names := func(jobs []cronimport.Job) map[string]string {
		all := make(map[string]string)
		for _, j := range jobs {
			all[j.Handler.URL] = j.Name
		}
		return all
	}
	before := names(vercel(t, a+","+b))
	if len(before) != 2 {
		t.Fatalf("names %v", before)
	}
	if diff := cmp.Diff(before, names(vercel(t, b+","+a))); diff != "" {
		t.Errorf("in another order\n%s", diff)
	}
	if diff := cmp.Diff(before, names(vercel(t, a+","+strings.Replace(b, "0 2", "30 4", 1)))); diff != "" {
		t.Errorf("at another time\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	empty := strings.NewReader("{}")
	for _, base := range []string{"", "shop.example.com", "ftp://shop.example.com", "https://", "https://shop.example.com?x=1", "https://u:secret@shop.example.com", "https://a b"} {
		_, err := cronimport.Vercel(empty, cronimport.VercelOptions{BaseURL: base})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("the base URL %q: %v", base, err)
		}
	}
	huge := strings.Repeat("#\n", 3<<20)
	if _, err := cronimport.Crontab(strings.NewReader(huge), cronimport.CrontabOptions{}); !errors.Is(err, cronimport.ErrTooLarge) {
		t.Errorf("6 MiB: %v", err)
	}
	if _, err := cronimport.Crontab(empty, cronimport.CrontabOptions{Timezone: "Mars/Olympus"}); err == nil {
		t.Error("a zone that is not there was taken")
	}
	if _, err := cronimport.Vercel(strings.NewReader(`{"crons": [`), cronimport.VercelOptions{BaseURL: "https://a.example"}); err == nil {
		t.Error("half a file was taken")
	}
	if _, err := cronimport.ReadPgCron(strings.NewReader("jobid,schedule\n")); err == nil {
		t.Error("CSV was taken")
	}
	if im, err := cronimport.PgCron(nil, cronimport.PgCronOptions{Database: "x"}); err != nil || len(im.Jobs) != 0 {
		t.Errorf("no rows: %v, %v", im, err)
	}
}

// The command that is shown runs what cron ran, with what it wrote to it.
func TestCommandRuns(t *testing.T) {
	im, err := cronimport.Crontab(strings.NewReader("A=it's  \"here\"\n* * * * * printf '\\%s|' \"$A\" 'a b' 5\\%; cat%one%two\n"), cronimport.CrontabOptions{})
	if err != nil || len(im.Jobs) != 1 {
		t.Fatalf("%v, %+v", err, im)
	}
	j := im.Jobs[0]
	cmd := exec.Command("/bin/sh", "-c", j.Handler.String())
	cmd.Stdin = strings.NewReader(string(j.Body))
	out, err := cmd.CombinedOutput()
	if want := "it's  \"here\"|a b|5%|one\ntwo\n"; string(out) != want || err != nil {
		t.Errorf("%s printed %q, %v, want %q", j.Handler, out, err, want)
	}
}

func FuzzCrontab(f *testing.F) {
	for _, name := range []string{"user.crontab", "system.crontab"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content), name == "system.crontab")
	}
	f.Fuzz(func(t *testing.T, text string, users bool) {
		im, err := cronimport.Crontab(strings.NewReader(text), cronimport.CrontabOptions{UserColumn: users})
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range im.Jobs {
			if err := errors.Join(symphony.CheckName("schedule", j.Name), symphony.CheckType(j.Type)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What somebody else wrote may be long.
func TestManyLines(t *testing.T) {
	var b strings.Builder
	for i := range 4_000 {
		fmt.Fprintf(&b, "%d * * * * /bin/job %d\n", i%60, i/2)
	}
	im, err := cronimport.Crontab(strings.NewReader(b.String()), cronimport.CrontabOptions{})
	if err != nil || len(im.Jobs) != 4_000 || len(im.Left) != 0 {
		t.Errorf("%v, %d jobs, %d left", err, len(im.Jobs), len(im.Left))
	}
}

func TestLineEnds(t *testing.T) {
	im, err := cronimport.Crontab(strings.NewReader("\ufeffA='b'\r\n0 1 * * * /bin/job\r\n\r\n"), cronimport.CrontabOptions{})
	if err != nil || len(im.Jobs) != 1 || len(im.Left) != 0 {
		t.Fatalf("%v, %+v", err, im)
	}
	if got := im.Jobs[0].Handler.String(); got != "env A=b /bin/sh -c /bin/job" {
		t.Errorf("the command is %s", got)
	}
}
