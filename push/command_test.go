//go:build unix

package push_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/push"
)

func command(t *testing.T, line string) *push.Command {
	t.Helper()
	c, err := push.ParseCommand(line)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// shell is a command that runs script with /bin/sh; $0 is arg.
func shell(t *testing.T, script, arg string) *push.Command {
	t.Helper()
	return command(t, `sh -c '`+script+`' "`+arg+`"`)
}

func envelope(body string) *symphony.Envelope {
	return &symphony.Envelope{
		ID: symphony.NewID(), Type: "mail", Queue: "post", Attempt: 2, Fence: 7,
		ContentType: "application/json", Body: []byte(body), CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestParseCommandErrors(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]error{
		"":                           nil,
		"  ":                         nil,
		`sh -c 'unfinished`:          nil,
		"no-such-program-anywhere x": exec.ErrNotFound,
		"/no/such/program":           os.ErrNotExist,
		plain:                        os.ErrPermission,
	} {
		_, err := push.ParseCommand(line)
		if err == nil {
			t.Errorf("ParseCommand(%q) accepts it", line)
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("ParseCommand(%q) = %v, want one that matches %v", line, err, want)
		}
	}
}

// TestWords: the line is split as a shell does, and nothing in it is expanded.
func TestWords(t *testing.T) {
	dir := t.TempDir()
	line := `sh -c 'for a; do printf "%s\n" "$a"; done > "$0"' ` + dir + `/args 'two words' "\$HOME \"x\"" $HOME * a\ b ''`
	if err := command(t, line).Handle(t.Context(), envelope("{}")); err != nil {
		t.Fatal(err)
	}
	want := "two words\n$HOME \"x\"\n$HOME\n*\na b\n\n"
	if diff := cmp.Diff(want, read(t, dir+"/args")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestInputAndEnvironment(t *testing.T) {
	t.Setenv("HOME", "/home/of/test")
	t.Setenv("LANG", "C.UTF-8")
	t.Setenv("SECRET_DSN", "postgres://user:password@host/db")
	dir := t.TempDir()
	env := envelope("{\"a\": 1.0}\n\x00")
	env.Group, env.Headers = "g 1", map[string]string{"tenant": `a"b`}
	c := shell(t, `cat > "$0/body"; env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= > "$0/env"`, dir)
	if err := c.Handle(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir+"/body"); got != string(env.Body) {
		t.Errorf("the program read %q, the body is %q", got, env.Body)
	}
	got := make(map[string]string)
	for line := range strings.Lines(read(t, dir+"/env")) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[name] = value
	}
	want := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": "/home/of/test", "LANG": "C.UTF-8",
		"SYMPHONY_ID": env.ID.String(), "SYMPHONY_TYPE": "mail", "SYMPHONY_QUEUE": "post", "SYMPHONY_GROUP": "g 1",
		"SYMPHONY_ATTEMPT": "2", "SYMPHONY_FENCE": "7", "SYMPHONY_CONTENT_TYPE": "application/json",
		"SYMPHONY_CREATED_AT": "2026-01-02T03:04:05Z", "SYMPHONY_HEADERS": `{"tenant":"a\"b"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// TestInPlace: a Raw message that was never stored has its body in the message alone.
func TestInPlace(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	bus := &symphony.Bus{}
	symphony.HandleRaw(bus, "mail", shell(t, `cat > "$0"`, out).Handle)
	if _, err := bus.Dispatch(t.Context(), symphony.Raw{Type: "mail", Body: []byte(`{"to":"a"}`)}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, out); got != `{"to":"a"}` {
		t.Errorf("the program read %q", got)
	}
}

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		name, script, want, class string
	}{
		{"zero", `echo noise >&2`, "", ""},
		{"one", `echo first >&2; echo "  no route  " >&2; exit 1`, "sh: exit status 1: first\n  no route", "exit_1"},
		{"silent", `exit 3`, "sh: exit status 3", "exit_3"},
		{"temporary", `echo later >&2; exit 75`, "sh: exit status 75: later", "temporary"},
		{"signal", `kill -9 $$`, "sh: signal: killed", "signal"},
		{"not found inside", `exec /no/such/program 2>/dev/null`, "sh: exit status 127", "exit_127"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := shell(t, tt.script, "x").Handle(t.Context(), envelope("{}"))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || err.Error() != tt.want {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if class := symphony.NewFailure(err).Class; class != tt.class {
				t.Errorf("class %q, want %q", class, tt.class)
			}
			if outcome, _, decided := symphony.OutcomeOf(err); decided {
				t.Errorf("the error asks for %s: the retry policy must decide", outcome)
			}
		})
	}
}

// TestProgramGone: a program that vanished after the start is an ordinary failure of the message.
func TestProgramGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.Symlink("/bin/sh", path); err != nil {
		t.Fatal(err)
	}
	c := command(t, path+" -c true")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	err := c.Handle(t.Context(), envelope("{}"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want one that names %s and matches ErrNotExist", err, path)
	}
}

// TestTail: of 10 MB the last 4 KiB are kept, and neither output can fill up and block the program.
func TestTail(t *testing.T) {
	c := shell(t, `yes 123456789 | head -c 10000000 | tee /dev/stderr; printf end >&2; exit 1`, "x")
	err := c.Handle(t.Context(), envelope("{}"))
	failed, ok := errors.AsType[*push.CommandError](err)
	if !ok {
		t.Fatal(err)
	}
	if len(failed.Stderr) != 4096 || !strings.HasSuffix(failed.Stderr, "123456789\nend") {
		t.Errorf("kept %d bytes that end in %q", len(failed.Stderr), failed.Stderr[max(0, len(failed.Stderr)-20):])
	}
}

// TestUnreadInput: a body larger than a pipe does not block when nobody reads it.
func TestUnreadInput(t *testing.T) {
	if err := command(t, "true").Handle(t.Context(), envelope(strings.Repeat("x", 1<<20))); err != nil {
		t.Error(err)
	}
}

func TestOutputIsLogged(t *testing.T) {
	var log strings.Builder
	c := shell(t, `echo to out; echo to err >&2`, "x")
	c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := c.Handle(t.Context(), envelope("{}")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`level=DEBUG`, `stdout="to out\n"`, `stderr="to err\n"`, `state="exit status 0"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

// TestDoneAfterSIGTERM: a program that finishes its work on SIGTERM has done it.
func TestDoneAfterSIGTERM(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := shell(t, `trap "exit 0" TERM; : > "$0"; while :; do sleep 0.02; done`, ready)
	done := make(chan error, 1)
	go func() { done <- c.Handle(ctx, envelope("{}")) }()
	waitFor(t, func() bool { _, err := os.Stat(ready); return err == nil })
	cancel(symphony.ErrStopping)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatal("the state was not reached in 20 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
