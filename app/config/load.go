package config

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/symphony-messenger/symphony/internal/nearest"
)

// DefaultFile is where a program looks for its configuration when nobody names another place: in the
// directory in which it runs.
const DefaultFile = "symphony.yaml"

// A Flag is a value that the command line has for a key.
type Flag struct {
	Name string // such as --lease
	Key  string // such as worker.lease
	Text string
}

// Sources are what a configuration is read from.
type Sources struct {
	File   string                      // a path; "": no file
	Lookup func(string) (string, bool) // of the environment; nil: os.LookupEnv
	Flags  []Flag
	DSN    string // of the default transport, of the flag --dsn
	// Fallback is the DSN of the default transport when there is no other.
	Fallback string
}

// FindFile returns the path of the file to read: that of the flag, else that of SYMPHONY_CONFIG, else
// [DefaultFile] if there is one, else "".
func FindFile(flag string, lookup func(string) (string, bool)) string {
	if flag != "" {
		return flag
	}
	if path, _ := lookup("SYMPHONY_CONFIG"); path != "" {
		return path
	}
	if _, err := os.Stat(DefaultFile); err != nil {
		return ""
	}
	return DefaultFile
}

// Load reads a configuration. It returns an *[Error] with all that is wrong in it. It opens no store and
// starts no program.
func Load(src Sources) (*Config, error) {
	if src.Lookup == nil {
		src.Lookup = os.LookupEnv
	}
	r := reader{path: src.File, lookup: src.Lookup, places: map[string]Origin{}, order: map[string][]string{}}
	root := tree()
	if src.File != "" {
		r.read(root)
	}
	b := builder{reader: &r, byKey: make(map[string]value)}
	for _, v := range r.values {
		b.byKey[dotted(v.path)] = v
	}
	b.environment(src.Lookup)
	for _, f := range src.Flags {
		b.override(f.Key, f.Text, Origin{Flag: f.Name})
	}
	b.dsn(src)
	c := b.build()
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(x, y Problem) int {
			return cmp.Or(cmp.Compare(x.Origin.Line, y.Origin.Line), cmp.Compare(x.Origin.Column, y.Origin.Column))
		})
		return nil, &Error{r.problems}
	}
	b.settings(c)
	return c, nil
}

// environment takes the variables that set a key.
func (b *builder) environment(lookup func(string) (string, bool)) {
	var known []string
	for _, k := range Keys() {
		name := k.Env()
		if name == "" {
			continue
		}
		known = append(known, name)
		if text, ok := lookup(name); ok && text != "" {
			b.override(k.Name, text, Origin{Variable: name})
		}
	}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if _, ok := lookup(name); !ok || !strings.HasPrefix(name, "SYMPHONY_") || slices.Contains(known, name) || slices.Contains(ours, name) {
			continue
		}
		if near, ok := nearest.To(name, known); ok && nearest.Distance(name, near) <= 2 {
			b.notes = append(b.notes, fmt.Sprintf("the variable %s is not read; %s is", name, near))
		}
	}
}

// ours are variables that are no keys: two of ours, and those that a program gets which handles messages.
var ours = []string{
	"SYMPHONY_DSN", "SYMPHONY_CONFIG", "SYMPHONY_ID", "SYMPHONY_TYPE", "SYMPHONY_QUEUE", "SYMPHONY_GROUP", "SYMPHONY_ATTEMPT",
	"SYMPHONY_FENCE", "SYMPHONY_CONTENT_TYPE", "SYMPHONY_CREATED_AT", "SYMPHONY_HEADERS",
}

// override sets a key whose name has no "*".
func (b *builder) override(name, text string, from Origin) {
	for _, k := range Keys() {
		if k.Name != name {
			continue
		}
		parsed, err := k.kind.parse(text)
		if err != nil {
			if !k.kind.secret {
				err = fmt.Errorf("%.80q %w", text, err)
			}
			b.problem(from, name, err.Error(), "")
			return
		}
		b.byKey[name] = value{&k, strings.Split(name, "."), parsed, text, from}
		return
	}
	b.problem(from, name, "unknown key", "")
}

// dsn gives the default transport the DSN that goes before the file's, or the one that stands in for it.
func (b *builder) dsn(src Sources) {
	b.chosen = b.chooseTransport()
	if b.chosen == "" {
		return
	}
	key := dotted([]string{"transports", b.chosen, "dsn"})
	set := func(dsn string, from Origin) {
		if old, ok := b.byKey[key]; ok && from.Variable != "" && old.parsed != dsn {
			b.notes = append(b.notes, fmt.Sprintf("%s goes before the DSN of transport %s in %s", from, b.chosen, old.origin))
		}
		b.byKey[key] = value{keyOf("transports.*.dsn"), []string{"transports", b.chosen, "dsn"}, dsn, dsn, from}
		if !slices.Contains(b.order["transports"], b.chosen) {
			b.order["transports"] = append(b.order["transports"], b.chosen)
		}
	}
	if src.DSN != "" {
		set(src.DSN, Origin{Flag: "--dsn"})
		return
	}
	for _, name := range []string{"SYMPHONY_DSN", "DATABASE_URL"} {
		if dsn, _ := src.Lookup(name); dsn != "" {
			set(dsn, Origin{Variable: name})
			return
		}
	}
	if _, ok := b.byKey[key]; !ok && src.Fallback != "" {
		set(src.Fallback, Origin{})
	}
}

func keyOf(name string) *Key {
	for _, k := range Keys() {
		if k.Name == name {
			return &k
		}
	}
	return nil
}

// chooseTransport returns the name of the default transport; "" after a problem.
func (b *builder) chooseTransport() string {
	named := b.order["transports"]
	v, set := b.byKey["transport"]
	switch {
	case set && (slices.Contains(named, v.parsed.(string)) || len(named) == 0):
		return v.parsed.(string)
	case set:
		b.unknownTransport(v, v.parsed.(string))
	case len(named) == 1:
		return named[0]
	case len(named) == 0:
		return "default"
	default:
		b.problem(b.places["transports"], "transports", "which one is the default?", "add transport: "+named[0])
	}
	return ""
}

func (b *builder) unknownTransport(v value, name string) {
	named := b.order["transports"]
	hint := "known are " + strings.Join(named, ", ")
	if near, ok := nearest.To(name, named); ok {
		hint = "did you mean " + near + "?"
	} else if len(named) == 0 {
		hint = "add it to transports"
	}
	b.problem(v.origin, dotted(v.path), fmt.Sprintf("there is no transport %q", name), hint)
}
