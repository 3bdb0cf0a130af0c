package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Read returns the events of all files in dir, those of one process in their order, and of several by
// their wall time. A last line without its end is left out if a recorded fault killed that process: its
// write never returned. Any other line that is torn, missing or unreadable is an error that names file and line; the
// events that could be read are returned with it.
func Read(dir string) ([]Event, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	var events []Event
	var errs []error
	torn := map[string]string{} // by process: the path
	shared := interner{}
	for _, entry := range entries {
		proc, ok := strings.CutSuffix(entry.Name(), fileExt)
		if !ok {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("read history: %w", err))
			continue
		}
		whole, rest := cutTorn(data)
		if len(rest) > 0 {
			torn[proc] = path
		}
		events, err = appendLines(events, proc, whole, shared)
		if err != nil {
			errs = append(errs, fmt.Errorf("read history %s: %w", path, err))
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Wall, b.Wall) })
	for i := range events {
		if e := &events[i]; e.Kind == Injected && e.Fault == Kill {
			delete(torn, e.Target)
		}
	}
	for proc, path := range torn {
		errs = append(errs, fmt.Errorf("read history %s: last line is torn, but no fault killed %s", path, proc))
	}
	return events, errors.Join(errs...)
}

// cutTorn splits off what follows the last newline.
func cutTorn(data []byte) (whole, torn []byte) {
	end := bytes.LastIndexByte(data, '\n') + 1
	return data[:end], data[end:]
}

func appendLines(events []Event, proc string, data []byte, shared interner) ([]Event, error) {
	n := int64(0)
	for line := range bytes.Lines(data) {
		n++
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return events, fmt.Errorf("line %d: %w", n, err)
		}
		if e.Proc != proc || e.Seq != n {
			return events, fmt.Errorf("line %d: is event %d of %q, want event %d of %q", n, e.Seq, e.Proc, n, proc)
		}
		shared.intern(&e)
		events = append(events, e)
	}
	return events, nil
}

// An interner keeps one copy of the strings that a long history repeats.
type interner map[string]string

func (in interner) intern(e *Event) {
	for _, s := range []*string{
		&e.Proc, &e.Worker, (*string)(&e.Kind), (*string)(&e.Phase), (*string)(&e.Outcome),
		&e.Message, &e.Type, &e.Subscriber, &e.Queue, &e.Group, &e.SHA256, &e.Token,
	} {
		if *s == "" {
			continue
		}
		if one, ok := in[*s]; ok {
			*s = one
		} else {
			in[*s] = *s
		}
	}
}
