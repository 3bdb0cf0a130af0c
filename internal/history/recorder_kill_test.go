//go:build unix

package history_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/symphony-messenger/symphony/internal/history"
)

// These make the test binary a process that records to the file they name: until it is killed, or until the file
// may not grow any more.
const (
	recordTo  = "HISTORY_TEST_RECORD_TO"
	recordFew = "HISTORY_TEST_RECORD_FEW"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(recordTo); path != "" {
		recordForever(path)
	}
	if path := os.Getenv(recordFew); path != "" {
		recordUntilFull(path)
		return
	}
	os.Exit(m.Run())
}

// fileLimit is no multiple of the length of a line, so that the last write is cut short.
const fileLimit = 1000

// recordUntilFull writes until the kernel refuses, and then once more.
func recordUntilFull(path string) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fileLimit, Max: fileLimit}); err != nil {
		panic(err)
	}
	rec, err := history.Open(path)
	if err != nil {
		panic(err)
	}
	for err == nil {
		_, err = rec.Write(history.Event{Kind: history.Tick})
	}
	_, again := rec.Write(history.Event{Kind: history.Tick})
	fmt.Print(errors.Is(err, syscall.EFBIG), " ", errors.Is(again, err), " ", errors.Is(rec.Close(), err))
}

// TestFullDisk: a line that was cut short is an error of the recorder, which then writes nothing after it, and
// of the reader, since nobody killed the process.
func TestFullDisk(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "full.jsonl")
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), recordFew+"="+path)
	cmd.Stderr = os.Stderr
	if out, err := cmd.Output(); err != nil || string(out) != "true true true" {
		t.Fatalf("child: %v, want EFBIG, again, and from Close: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != fileLimit || data[len(data)-1] == '\n' {
		t.Fatalf("the file has %d bytes and ends in %q: want a torn line at %d", len(data), data[len(data)-1], fileLimit)
	}
	events, err := history.Read(dir)
	if err == nil || !strings.Contains(err.Error(), "last line is torn") {
		t.Errorf("Read: %v, want the torn line", err)
	}
	if whole := strings.Count(string(data), "\n"); len(events) != whole || whole == 0 {
		t.Errorf("read %d events, want %d", len(events), whole)
	}
}

// recordForever writes events from several goroutines, and the Seq of each to stdout once its write has returned.
func recordForever(path string) {
	rec, err := history.Open(path)
	if err != nil {
		panic(err)
	}
	body := history.Sum([]byte("body"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				seq, err := rec.Write(history.Event{Kind: history.Claim, Message: "m", Token: "t", SHA256: body})
				if err != nil {
					panic(err)
				}
				if _, err := os.Stdout.Write(binary.LittleEndian.AppendUint64(nil, uint64(seq))); err != nil {
					panic(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestRecorderSurvivesKill kills a process that records at full speed, at several moments: everything whose
// write had returned must be read back, in order and without a gap.
func TestRecorderSurvivesKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, enough := range []int{1, 500, 2_000, 5_000, 10_000} {
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), recordTo+"="+filepath.Join(dir, "child.jsonl"))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		harness := open(t, dir, "harness")
		var highest, returned uint64
		for {
			var raw [8]byte
			if _, err := io.ReadFull(out, raw[:]); err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				break
			}
			returned++
			highest = max(highest, binary.LittleEndian.Uint64(raw[:]))
			if returned == uint64(enough) {
				write(t, harness, history.Event{Kind: history.Injected, Fault: history.Kill, Target: "child"})
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("child ended with %v, want killed", err)
		}
		events, err := history.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		var child uint64
		for _, e := range events {
			if e.Proc == "child" {
				child++
			}
		}
		// Read has checked that the child's events are 1, 2, 3 … without a gap.
		if returned < uint64(enough) || child < highest || child < returned {
			t.Errorf("%d writes returned, the last of them event %d; read back %d", returned, highest, child)
		}
		t.Logf("killed after %d writes had returned; read back %d", returned, child)
	}
}
