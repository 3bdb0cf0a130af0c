package config

import "strings"

// A Key is something that can be set. A part "*" of its name stands for a name that the user chooses.
type Key struct {
	Name    string // such as worker.lease or transports.*.dsn
	Type    string // of its values, for people
	Default string // "": nothing, or what Doc says
	Doc     string

	kind kind
}

// Env is the environment variable that sets k; "" when there is none. The DSN of the default transport
// has SYMPHONY_DSN and DATABASE_URL.
func (k Key) Env() string {
	if strings.Contains(k.Name, "*") {
		return ""
	}
	return "SYMPHONY_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Keys lists every key, in the order of the documentation.
func Keys() []Key {
	keys := []Key{
		{"transport", "", "", "the transport of messages without a route; needed when there are several", names("transport")},
		{"transports.*.dsn", "", "", "the store; also written as `NAME: DSN`", dsns},
		{"transports.*.history.mode", "", "", "as `history.mode`, for this one", modes},
		{"transports.*.history.retention", "", "", "as `history.retention`, for this one", durations(true)},
		{"transports.*.queues.*.weight", "", "1", "share of the worker beside the other queues; also written as `QUEUE: WEIGHT`", counts},
		{"transports.*.queues.*.concurrency", "", "", "handlers at once for this queue, at most", counts},
		{"history.mode", "", "full", "what is kept of completed messages: all, all but the body, nothing", modes},
		{"history.retention", "", "24h", "how long ended messages are kept", durations(true)},
		{"routes.*.transport", "", "", "where messages of the type go; `sync`: handled in place", names("transport")},
		{"routes.*.queue", "", "default", "their queue", names("queue")},
		{"routes.*.priority", "", "5", "1 to 10, higher first", priorities},
		{"routes.*.delay", "", "", "how long they wait first", durations(false)},
		{"routes.*.expires", "", "", "no attempt starts later", durations(true)},
		{"routes.*.group", "", "", "one at a time and in order", groups},
		{"routes.*.max_retries", "", "", "goes before every policy", wholes},
		{"routes.*.tags", "", "", "added to those of the message", tags},
		{"routes.*.headers.*", "", "", "added to those of the message", texts},
		{"handlers.*.exec", "", "", "the command that handles messages of the type, as with `consume --exec`", commands},
		{"handlers.*.timeout", "", "", "of each attempt", durations(true)},
		{"handlers.*.at_most", "", "", "at once in one worker", counts},
		{"schedules", "", "", "the file of the schedules that workers declare and `schedules apply` applies, see [schedules](schedules.md)", paths},
		{"worker.name", "", "", "for people; the host's name if none is given", texts},
		{"worker.concurrency", "", "10", "handlers at once, for each transport", counts},
		{"worker.lease", "", "30s", "how long a message is out of sight when its worker dies", durations(true)},
		{"worker.grace", "", "20s", "for running handlers after the first signal", durations(false)},
		{"worker.strict", "", "false", "a queue waits while one before it has messages; else weights share", bools},
		{"worker.max_crashes", "", "5", "leases that may run out before a message is a dead letter", counts},
		{"worker.unknown_types", "", "24h", "how long messages without a handler are kept before they are dead letters", durations(true)},
		{"worker.limits.messages", "", "", "stop after that many attempts were started", counts},
		{"worker.limits.failures", "", "", "stop after that many attempts failed", counts},
		{"worker.limits.memory", "", "", "stop when the Go runtime uses more", sizes},
		{"worker.limits.time", "", "", "stop after that long", durations(true)},
		{"worker.limits.idle", "", "", "stop after that long without a message", durations(true)},
		{"body_limit", "", "256K", "the largest body that is accepted, 16M at most", sizes},
		{"log.level", "", "", "debug, info, warn or error; `--quiet`, `--verbose` and `--debug` go before it", oneOf("debug", "info", "warn", "error")},
		{"log.format", "", "text", "of what is logged to standard error", oneOf("text", "json")},
	}
	for _, of := range []struct{ prefix, as string }{
		{"", ""},
		{"transports.*.", " of this transport, where its queues say nothing else"},
		{"transports.*.queues.*.", " of this queue"},
		{"handlers.*.", " of this handler, before those of queue and transport"},
	} {
		values := [5]string{}
		if of.prefix == "" {
			values = [5]string{"3", "1s", "2", "0s", "0.1"}
		}
		keys = append(keys,
			Key{of.prefix + "retry.max", "", values[0], "retries after the first attempt" + of.as + "; -1: without limit", retries},
			Key{of.prefix + "retry.delay", "", values[1], "wait before the first retry", durations(false)},
			Key{of.prefix + "retry.multiplier", "", values[2], "each further wait is that many times longer", multipliers},
			Key{of.prefix + "retry.cap", "", values[3], "longest wait; 0s: none", durations(false)},
			Key{of.prefix + "retry.jitter", "", values[4], "share of the wait by which it varies", shares})
	}
	for i := range keys {
		keys[i].Type = keys[i].kind.name
	}
	return keys
}

// A node is a place in the tree of keys.
type node struct {
	key   *Key // nil: it is a mapping
	names []string
	sub   map[string]*node // by name, or "*"
	check func(string) error
	short string // the key that a plain value stands for
}

// tree arranges the keys as the file has them.
func tree() *node {
	root := &node{sub: map[string]*node{}}
	keys := Keys()
	for i := range keys {
		at := root
		parts := strings.Split(keys[i].Name, ".")
		for depth, part := range parts {
			next := at.sub[part]
			if next == nil {
				next = &node{sub: map[string]*node{}}
				at.sub[part] = next
				at.names = append(at.names, part)
				switch strings.Join(parts[:depth+1], ".") {
				case "transports.*":
					next.check, next.short = checkTransport, "dsn"
				case "transports.*.queues.*":
					next.check, next.short = names("queue").check, "weight"
				case "routes.*":
					next.check = checkRoute
				case "handlers.*":
					next.check = checkType
				case "routes.*.headers.*":
					next.check = checkHeader
				}
			}
			at = next
		}
		at.key = &keys[i]
	}
	return root
}

// dotted is the name of a key whose parts are known, with quotes where a part has dots itself.
func dotted(path []string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		if strings.ContainsAny(part, ".*:/") {
			part = `"` + part + `"`
		}
		parts[i] = part
	}
	return strings.Join(parts, ".")
}
