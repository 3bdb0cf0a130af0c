// Package cronimport reads the cron jobs that an application has already, so that they can move here one at
// a time: the crons of a vercel.json, a crontab, the rows of pg_cron's cron.job.
//
// It only reads, and decides nothing: each entry becomes a [Job], or one of [Import.Left] with the
// reason why it cannot be carried over. Names and types come from what an entry does, not from its place
// in the file, nor from its times. So the same input gives the same jobs, and an entry whose times have been changed
// gives the same name.
package cronimport

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// maxInput bounds what is read, in bytes.
const maxInput = 4 << 20

// ErrTooLarge is returned for an input of more than 4 MiB.
var ErrTooLarge = errors.New("the input is larger than 4 MiB")

// An Import is what an input holds, in its order.
type Import struct {
	Jobs  []Job
	Left  []Left
	Notes []string // about all jobs: what will be different
}

// A Job can be carried over: as a schedule that dispatches a message, and a handler for the messages of
// that type.
type Job struct {
	Name        string // of the schedule
	Expression  string // as package cron reads it
	Timezone    string // an IANA name
	Type        string // of the message
	ContentType string
	Body        []byte
	Paused      bool    // it does not run now either
	OneAtATime  bool    // a run has waited for the end of the one before
	Handler     Handler // what has to handle the messages
	Source      string  // where the entry is: "crons[3]", "line 12", "job 42"
	Notes       []string
}

// A Left entry cannot be carried over.
type Left struct {
	Source string
	Entry  string // what is written there
	Reason string
}

// A Handler is what a job has run so far: a command, or a request. The body is its standard input, or that of the request.
type Handler struct {
	Command []string // a program and its arguments

	Method    string // GET, with no body, or POST
	URL       string
	BearerEnv string // the environment variable whose value is sent as "Authorization: Bearer"; "": none
}

// String is the command as one types it, or the request line.
func (h Handler) String() string {
	if len(h.Command) == 0 {
		return h.Method + " " + h.URL
	}
	words := make([]string, len(h.Command))
	for i, w := range h.Command {
		words[i] = shellQuote(w)
	}
	return strings.Join(words, " ")
}

func shellQuote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func read(r io.Reader) (string, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return "", err
	}
	if len(content) > maxInput {
		return "", ErrTooLarge
	}
	return strings.TrimPrefix(string(content), "\ufeff"), nil
}

// An importer collects the entries of one input.
type importer struct {
	Import
	zone    string
	entries []entry
	seen    map[string]string // the source of what is there already
}

// An entry is a job before it has its name.
type entry struct {
	Job
	stem string // its name, if no other has the same
	same string // what it does: two entries that do the same may share the stem
	text string // as it is written
}

// newImporter checks the time zone of the entries that say nothing about it.
func newImporter(zone string) (*importer, error) {
	zone = cmp.Or(zone, "UTC")
	if _, err := cron.Zone(zone); err != nil {
		return nil, err
	}
	return &importer{zone: zone, seen: make(map[string]string)}, nil
}

func (im *importer) leave(source, entry, reason string) {
	im.Left = append(im.Left, Left{Source: source, Entry: entry, Reason: reason})
}

// add takes an entry whose expression can be read.
func (im *importer) add(e entry) {
	e.Timezone = cmp.Or(e.Timezone, im.zone)
	zone, err := cron.Zone(e.Timezone)
	if err == nil {
		_, err = cron.Parse(e.Expression, cron.In(zone), cron.Seed(e.stem))
	}
	if err != nil {
		im.leave(e.Source, e.text, err.Error())
		return
	}
	key := strings.Join([]string{e.stem, e.same, e.Expression, e.Timezone}, "\x00")
	if other, ok := im.seen[key]; ok {
		im.leave(e.Source, e.text, "it is the same as "+other)
		return
	}
	im.seen[key] = e.Source
	im.entries = append(im.entries, e)
}

// done gives the entries their names. Those that would have the same one are told apart by what they do, and
// those that do the same also by when, never by their order.
func (im *importer) done() *Import {
	stems, deeds := make(map[string]int), make(map[string]int)
	for _, e := range im.entries {
		stems[e.stem]++
		deeds[e.stem+"\x00"+e.same]++
	}
	taken := make(map[string]string)
	for _, e := range im.entries {
		e.Name = e.stem
		switch {
		case deeds[e.stem+"\x00"+e.same] > 1:
			e.Name = shorten(e.stem, longestName-9) + "-" + digest(e.same, e.Expression, e.Timezone)
		case stems[e.stem] > 1:
			e.Name = shorten(e.stem, longestName-9) + "-" + digest(e.same)
		}
		if other, ok := taken[e.Name]; ok {
			im.leave(e.Source, e.text, fmt.Sprintf("%s has its name, %s", other, e.Name))
			continue
		}
		taken[e.Name] = e.Source
		e.Type = "cron/" + e.Name
		im.Jobs = append(im.Jobs, e.Job)
	}
	return &im.Import
}

// longestName is that of a schedule.
const longestName = 63

// slug makes a name of a schedule from text, "job" if there is nothing in it.
func slug(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.':
			b.WriteRune(c)
		default:
			if s := b.String(); s != "" && s[len(s)-1] != '-' {
				b.WriteByte('-')
			}
		}
	}
	name := strings.TrimLeft(strings.TrimRight(b.String(), "-"), "-_.")
	if name == "" {
		return "job"
	}
	if len(name) > longestName {
		name = shorten(name, longestName-9) + "-" + digest(text)
	}
	return name
}

func shorten(name string, most int) string {
	return strings.TrimRight(name[:min(len(name), most)], "-_.")
}

// digest is eight letters that tell texts apart.
func digest(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:4])
}
