package cli

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/app"
	"github.com/symphony-messenger/symphony/app/config"
)

// A served is one transport that a command serves.
type served struct {
	transport string
	queues    []symphony.WorkerQueue // none: those of the configuration
}

// serving is what a command serves, in the order of its arguments.
type serving struct {
	all    []served
	strict bool // as far as queues are named
}

// of returns what is served of a transport, which is added if there is nothing yet.
func (v *serving) of(transport string) *served {
	i := slices.IndexFunc(v.all, func(of served) bool { return of.transport == transport })
	if i < 0 {
		v.all = append(v.all, served{transport: transport})
		i = len(v.all) - 1
	}
	return &v.all[i]
}

// parseServed reads names of transports and of queues. accept says why a transport cannot be served, if so.
func (s *session) parseServed(args, queues []string, all bool, accept func(config.Transport) error) (*serving, error) {
	c := s.config
	first := cmp.Or(s.transport, c.Transport)
	v := &serving{strict: true}
	var whole []string
	for _, arg := range args {
		if t, ok := c.Find(arg); ok && t.Declared() {
			if slices.Contains(whole, arg) {
				return nil, s.usage("", "transport %s is named twice", arg)
			}
			whole = append(whole, arg)
			v.of(arg)
			continue
		}
		if err := s.addQueue(v, first, arg); err != nil {
			return nil, err
		}
	}
	if len(queues) > 0 && len(whole) > 0 { // as Symfony has it: those of the transport
		if len(whole) > 1 || len(args) > 1 {
			return nil, s.usage("write them as TRANSPORT:QUEUE", "--queues belong to one transport, and %d names are given", len(args))
		}
		first, whole = whole[0], nil
	}
	for _, q := range queues {
		if err := s.addQueue(v, first, q); err != nil {
			return nil, err
		}
	}
	for _, name := range whole {
		if len(v.of(name).queues) > 0 {
			return nil, s.usage("write "+name+":"+name+" for its queue of that name", "%s is a transport, of which single queues are named as well", name)
		}
	}
	if all && len(v.all) > 0 {
		return nil, s.usage("", "--all leaves nothing to name")
	}
	for _, t := range c.Transports {
		if all && accept(t) == nil {
			v.of(t.Name)
		}
	}
	if len(v.all) == 0 {
		v.of(first)
	}
	for _, of := range v.all {
		t, _ := c.Find(of.transport)
		if err := accept(t); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// addQueue reads [TRANSPORT:]QUEUE[=WEIGHT].
func (s *session) addQueue(v *serving, transport, arg string) error {
	name := arg
	var q symphony.WorkerQueue
	if before, weight, ok := strings.Cut(arg, "="); ok {
		var err error
		if q.Weight, err = strconv.Atoi(weight); err != nil || q.Weight < 1 {
			return s.usage("write it as mail=3", "queue %.100q: its weight must be a number, 1 or more", arg)
		}
		name, v.strict = before, false
	}
	if before, after, ok := strings.Cut(name, ":"); ok {
		if _, known := s.config.Find(before); !known {
			return s.unknownTransport(before)
		}
		transport, name = before, after
	}
	if err := symphony.CheckName("queue", name); err != nil {
		return err
	}
	q.Name = name
	of := v.of(transport)
	if slices.ContainsFunc(of.queues, func(other symphony.WorkerQueue) bool { return other.Name == name }) {
		return s.usage("", "queue %s is named twice", name)
	}
	of.queues = append(of.queues, q)
	return nil
}

// apply makes the workers of a serve this.
func (v *serving) apply(a *app.App) error {
	names := make([]string, len(v.all))
	for i, of := range v.all {
		names[i] = of.transport
	}
	if err := a.Serve(names); err != nil {
		return err
	}
	for i, w := range a.Workers() {
		if of := v.all[i]; len(of.queues) > 0 {
			w.Queues, w.Strict = nil, v.strict
			for _, q := range of.queues {
				full := a.Queue(of.transport, q.Name)
				full.Weight = q.Weight
				w.Queues = append(w.Queues, full)
			}
		}
	}
	return nil
}

// noteUnserved says which transports of the configuration are left to other processes.
func (s *session) noteUnserved(v *serving) {
	var left []string
	for _, t := range s.config.Transports {
		if s.mustBeShared(t) == nil && !slices.ContainsFunc(v.all, func(of served) bool { return of.transport == t.Name }) {
			left = append(left, t.Name)
		}
	}
	if len(left) > 0 && len(v.all) == 1 && len(v.all[0].queues) == 0 {
		s.log.Debug("transports of the configuration that this process does not serve", "transports", left)
	}
}
