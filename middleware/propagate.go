package middleware

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/symphony-messenger/symphony"
)

// Propagate copies headers, such as a tenant or a trace, from the message that is being handled to
// those that its handler dispatches. It is for Sending. A header that the dispatch sets itself stays.
// Like http.Handle it panics when a name cannot be that of a header, because it would never be found.
func Propagate(names ...string) symphony.Middleware {
	for _, name := range names {
		if err := symphony.Header(name, "")(new(symphony.Envelope)); err != nil {
			panic(fmt.Sprintf("middleware: propagate: %v", err))
		}
	}
	names = slices.Clone(names)
	return func(next symphony.Handler) symphony.Handler {
		return func(ctx context.Context, env *symphony.Envelope) error {
			if parent, ok := symphony.EnvelopeFrom(ctx); ok {
				env.Headers = inherit(env.Headers, parent.Headers, names)
			}
			return next(ctx, env)
		}
	}
}

// inherit returns own with those of from that it lacks. It changes neither.
func inherit(own, from map[string]string, names []string) map[string]string {
	all := maps.Clone(own)
	for _, name := range names {
		value, given := from[name]
		if _, set := own[name]; !given || set {
			continue
		}
		if all == nil {
			all = make(map[string]string, len(names))
		}
		all[name] = value
	}
	return all
}
