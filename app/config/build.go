package config

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A builder makes a Config of values.
type builder struct {
	*reader
	byKey  map[string]value
	chosen string // the default transport
	notes  []string
}

// get returns what a key was set to, else def.
func get[T any](b *builder, def T, path ...string) T {
	if v, ok := b.byKey[dotted(path)]; ok {
		return v.parsed.(T)
	}
	return def
}

// under splits a path with dots and adds it to one.
func under(path []string, key string) []string {
	return append(path[:len(path):len(path)], strings.Split(key, ".")...)
}

func (b *builder) build() *Config {
	c := &Config{Transport: b.chosen, Retry: Retry{Max: 3, Delay: time.Second, Multiplier: 2, Jitter: 0.1}, notes: b.notes}
	c.Retry, _ = b.retry(c.Retry, nil)
	c.Worker = b.worker()
	c.BodyLimit = b.bodyLimit()
	c.Schedules, c.SchedulesFrom = get(b, "", "schedules"), b.byKey["schedules"].origin
	c.Log = Log{Level: get(b, "", "log", "level"), Format: get(b, "text", "log", "format")}
	for _, name := range b.order["transports"] {
		c.Transports = append(c.Transports, b.transport(c, name))
	}
	for _, typ := range b.order["routes"] {
		c.Routes = append(c.Routes, b.route(typ))
	}
	for _, typ := range b.order["handlers"] {
		c.Handlers = append(c.Handlers, b.handler(c, typ))
	}
	return c
}

// retry is the policy below path; what it does not say is that of def. ok is false when it says nothing.
func (b *builder) retry(def Retry, path []string) (r Retry, ok bool) {
	at := func(name string) []string {
		// A transport's policy is that of its worker, which the flags are about.
		if len(path) == 2 && path[0] == "transports" && b.byKey["retry."+name].origin.Flag != "" {
			return []string{"retry", name}
		}
		return under(path, "retry."+name)
	}
	for _, name := range []string{"max", "delay", "multiplier", "cap", "jitter"} {
		_, set := b.byKey[dotted(at(name))]
		ok = ok || set
	}
	return Retry{
		Max:        get(b, def.Max, at("max")...),
		Delay:      get(b, def.Delay, at("delay")...),
		Multiplier: get(b, def.Multiplier, at("multiplier")...),
		Cap:        get(b, def.Cap, at("cap")...),
		Jitter:     get(b, def.Jitter, at("jitter")...),
	}, ok
}

func (b *builder) worker() Worker {
	at := func(key string) []string { return under([]string{"worker"}, key) }
	return Worker{
		Name:        get(b, "", at("name")...),
		Concurrency: get(b, 10, at("concurrency")...),
		Lease:       get(b, 30*time.Second, at("lease")...),
		Grace:       max(get(b, 20*time.Second, at("grace")...), 1), // to a worker 0 is the default: as good as none
		Strict:      get(b, false, at("strict")...),
		MaxCrashes:  get(b, 5, at("max_crashes")...),
		Unknown:     get(b, 24*time.Hour, at("unknown_types")...),
		Limits: symphony.Limits{
			Messages: get(b, 0, at("limits.messages")...),
			Failures: get(b, 0, at("limits.failures")...),
			Memory:   get(b, int64(0), at("limits.memory")...),
			Time:     get(b, time.Duration(0), at("limits.time")...),
			Idle:     get(b, time.Duration(0), at("limits.idle")...),
		},
	}
}

func (b *builder) bodyLimit() int {
	const most = 16 << 20
	n := get(b, int64(0), "body_limit")
	if n > most {
		b.problem(b.byKey["body_limit"].origin, "body_limit", "must be 16M at most", "")
		return 0
	}
	return int(n)
}

func (b *builder) transport(c *Config, name string) Transport {
	path := []string{"transports", name}
	dsn, has := b.byKey[dotted(under(path, "dsn"))]
	t := Transport{
		Name:      name,
		From:      dsn.origin,
		History:   get(b, get(b, "full", "history", "mode"), under(path, "history.mode")...),
		Retention: get(b, get(b, 24*time.Hour, "history", "retention"), under(path, "history.retention")...),
	}
	t.Retry, _ = b.retry(c.Retry, path)
	_, t.declared = b.places[dotted(path)]
	if !has {
		b.missing(path, "dsn")
		return t
	}
	t.DSN = dsn.parsed.(string)
	b.keepsHistory(t, path)
	for _, queue := range b.order[dotted(under(path, "queues"))] {
		t.Queues = append(t.Queues, b.queue(c, t, queue))
	}
	return t
}

// missing says that a key is not there, unless it is, with a value that was refused.
func (b *builder) missing(path []string, key string) {
	if _, refused := b.places[dotted(under(path, key))]; !refused {
		b.problem(b.places[dotted(path)], dotted(path), "has no "+key, "")
	}
}

// keepsHistory refuses wishes about history that the store would ignore.
func (b *builder) keepsHistory(t Transport, path []string) {
	scheme, _, _ := strings.Cut(t.DSN, "://")
	for _, key := range []string{"history.mode", "history.retention"} {
		v, set := b.byKey[dotted(under(path, key))]
		if set && (scheme == "memory" || scheme == "sync") {
			b.problem(v.origin, dotted(v.path), "has no effect on "+scheme+"://", "")
		}
	}
	postgres := scheme == "postgres" || scheme == "postgresql"
	if postgres && t.Retention < time.Hour {
		v, set := b.byKey[dotted(under(path, "history.retention"))]
		if !set {
			v = b.byKey["history.retention"]
		}
		b.problem(v.origin, dotted(v.path), "must be an hour or more with PostgreSQL, which drops history by the hour", "")
	}
}

func (b *builder) queue(c *Config, t Transport, name string) Queue {
	path := []string{"transports", t.Name, "queues", name}
	q := Queue{
		Name:        name,
		Weight:      get(b, 0, under(path, "weight")...),
		Concurrency: get(b, 0, under(path, "concurrency")...),
	}
	if v, set := b.byKey[dotted(under(path, "weight"))]; set && c.Worker.Strict {
		b.problem(v.origin, dotted(v.path), "has no effect with worker.strict, where the order of the queues counts", "")
	}
	if r, ok := b.retry(t.Retry, path); ok {
		q.Retry = &r
	}
	return q
}

func (b *builder) route(typ string) Route {
	path := []string{"routes", typ}
	r := Route{Type: typ, Transport: get(b, "", under(path, "transport")...), Queue: get(b, "", under(path, "queue")...)}
	if v, ok := b.byKey[dotted(under(path, "transport"))]; ok && r.Transport != Sync && !slices.Contains(b.order["transports"], r.Transport) {
		b.unknownTransport(v, r.Transport)
	}
	refused := slices.ContainsFunc(b.problems, func(p Problem) bool { return strings.HasPrefix(p.Key, dotted(path)) })
	if len(b.order[dotted(path)]) == 0 && !refused {
		b.problem(b.places[dotted(path)], dotted(path), "says nothing", "give it a transport, a queue or another key")
	}
	stamp(b, &r, symphony.Priority, under(path, "priority"))
	stamp(b, &r, symphony.Delay, under(path, "delay"))
	stamp(b, &r, symphony.Expires, under(path, "expires"))
	stamp(b, &r, symphony.Group, under(path, "group"))
	stamp(b, &r, symphony.MaxRetries, under(path, "max_retries"))
	if list := get[[]any](b, nil, under(path, "tags")...); len(list) > 0 {
		words := make([]string, len(list))
		for i, word := range list {
			words[i] = word.(string)
		}
		r.Stamps = append(r.Stamps, symphony.Tag(words...))
	}
	for _, name := range b.order[dotted(under(path, "headers"))] {
		at := append(under(path, "headers"), name)
		if v, ok := b.byKey[dotted(at)]; ok {
			s := symphony.Header(name, v.parsed.(string))
			if err := s(&symphony.Envelope{}); err != nil {
				b.problem(v.origin, dotted(at), rule(err).Error(), "")
			}
			r.Stamps = append(r.Stamps, s)
		}
	}
	if r.Transport == Sync && (len(r.Stamps) > 0 || r.Queue != "") {
		b.problem(b.places[dotted(path)], dotted(path), "handles messages in place, where its other keys have no effect", "")
	}
	return r
}

func stamp[T any](b *builder, r *Route, make func(T) symphony.Stamp, path []string) {
	if v, ok := b.byKey[dotted(path)]; ok {
		r.Stamps = append(r.Stamps, make(v.parsed.(T)))
	}
}

func (b *builder) handler(c *Config, typ string) Handler {
	path := []string{"handlers", typ}
	exec, ok := b.byKey[dotted(under(path, "exec"))]
	h := Handler{
		Type: typ, From: exec.origin,
		Timeout: get(b, time.Duration(0), under(path, "timeout")...),
		AtMost:  get(b, 0, under(path, "at_most")...),
	}
	if !ok {
		b.missing(path, "exec")
		return h
	}
	h.Exec = exec.parsed.(string)
	if r, ok := b.retry(c.Retry, path); ok {
		h.Retry = &r
	}
	return h
}

// sections are the first parts of keys in the order in which settings are listed.
var sections = []string{"transport", "transports", "history", "retry", "body_limit", "routes", "handlers", "schedules", "worker", "log"}

// settings lists what is in force: section by section, in them transport by transport and so on as in the file.
func (b *builder) settings(c *Config) {
	type placed struct {
		Setting
		section, name int
	}
	var all []placed
	add := func(path []string, s Setting) {
		p := placed{Setting: s, section: slices.Index(sections, path[0])}
		if len(path) > 1 {
			p.name = slices.Index(b.order[path[0]], path[1])
		}
		all = append(all, p)
	}
	for _, k := range Keys() {
		if strings.Contains(k.Name, "*") {
			for _, v := range b.named(k.Name) {
				add(v.path, v.setting())
			}
			continue
		}
		s := Setting{Key: k.Name, Value: k.Default}
		if v, ok := b.byKey[k.Name]; ok {
			s = v.setting()
		} else if k.Name == "transport" {
			s.Value = c.Transport
		}
		path := strings.Split(k.Name, ".")
		add(path[:1], s)
	}
	slices.SortStableFunc(all, func(x, y placed) int {
		return cmp.Or(cmp.Compare(x.section, y.section), cmp.Compare(x.name, y.name))
	})
	for _, p := range all {
		c.settings = append(c.settings, p.Setting)
	}
}

// named are the values of a key with "*", in the order of their places.
func (b *builder) named(key string) (all []value) {
	for _, v := range b.byKey {
		if v.key.Name == key {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(x, y value) int {
		return cmp.Or(cmp.Compare(x.origin.Line, y.origin.Line), cmp.Compare(x.origin.Column, y.origin.Column),
			strings.Compare(dotted(x.path), dotted(y.path)))
	})
	return all
}

// setting is v as it may be shown.
func (v value) setting() Setting {
	s := Setting{Key: dotted(v.path), Value: v.text, Origin: v.origin}
	if v.key.kind.show != nil {
		s.Value = v.key.kind.show(v.parsed)
	}
	return s
}
