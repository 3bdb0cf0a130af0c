package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// fileExt marks the files of a history; the rest of the name is the Proc of the events in it.
const fileExt = ".jsonl"

// A Recorder appends the events of one process to its file. All methods may be called concurrently. A
// nil Recorder records nothing, so that a program can be run with or without one.
type Recorder struct {
	proc string

	mu   sync.Mutex
	file *os.File
	seq  int64
	err  error // the first failure: what follows a half-written line could not be read
}

// Open creates the file path, whose name must end in ".jsonl" and becomes the Proc of its events. It fails
// if the file exists: a process that is started again needs a new one, because the old one may end in
// a torn line. The caller closes the recorder.
func Open(path string) (*Recorder, error) {
	proc, ok := strings.CutSuffix(filepath.Base(path), fileExt)
	if !ok || proc == "" {
		return nil, fmt.Errorf("open history %s: name must end in %s", path, fileExt)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	return &Recorder{proc: proc, file: f}, nil
}

// Proc is the name under which the recorder's events appear, the Target of a fault that hits this process.
func (r *Recorder) Proc() string {
	if r == nil {
		return ""
	}
	return r.proc
}

// Write appends e as one line with one write and returns its Seq, which the answer to a call carries as
// Op. It sets Proc, Seq and Wall. Once Write has returned nil the line survives the death of the process,
// but not of the machine: it is not synced. After an error every later Write fails with the same one.
func (r *Recorder) Write(e Event) (seq int64, err error) {
	if r == nil {
		return 0, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	e.Proc, e.Seq, e.Wall = r.proc, r.seq+1, time.Now().UnixNano()
	line, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("encode %s event for history %s: %w", e.Kind, r.proc, err)
	}
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		r.err = fmt.Errorf("write history %s: %w", r.proc, err)
		return 0, r.err
	}
	r.seq++
	return e.Seq, nil
}

// Close closes the file. It returns the error that stopped the recording, if one did.
func (r *Recorder) Close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	failed := r.err
	if r.err == nil {
		r.err = fmt.Errorf("write history %s: %w", r.proc, os.ErrClosed)
	}
	return errors.Join(failed, r.file.Close())
}
