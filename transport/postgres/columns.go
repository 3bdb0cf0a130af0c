package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// Columns are envelopes as the arrays that statements take: one round trip and one plan for any number of them.
type columns struct {
	ids                                  [][16]byte
	queues, types, subscribers, contents []string
	priorities                           []int16
	ats                                  []*time.Time
	delays, expiries, versions, windows  []int64
	retries                              []*int64
	keys, groups, headers, tags          []*string
	bodies                               [][]byte
	special                              bool // some have a key, a group or a time: insert.sql is not for them
	counts                               counts
}

// Counts are the numbers of messages by queue and type.
type counts struct {
	queues, types []string
	numbers       []int64
	at            map[[2]string]int
}

func (c *counts) add(queue, typ string) {
	if last := len(c.queues) - 1; last >= 0 && c.queues[last] == queue && c.types[last] == typ {
		c.numbers[last]++
		return
	}
	i, known := c.at[[2]string{queue, typ}]
	if !known {
		if c.at == nil {
			c.at = make(map[[2]string]int)
		}
		i = len(c.queues)
		c.at[[2]string{queue, typ}] = i
		c.queues, c.types, c.numbers = append(c.queues, queue), append(c.types, typ), append(c.numbers, 0)
	}
	c.numbers[i]++
}

func newColumns(envs []*symphony.Envelope) (*columns, error) {
	n := len(envs)
	c := &columns{
		ids: make([][16]byte, n), queues: make([]string, n), types: make([]string, n), subscribers: make([]string, n), contents: make([]string, n),
		priorities: make([]int16, n), ats: make([]*time.Time, n), delays: make([]int64, n), expiries: make([]int64, n), versions: make([]int64, n),
		windows: make([]int64, n), retries: make([]*int64, n), keys: make([]*string, n), groups: make([]*string, n), headers: make([]*string, n),
		tags: make([]*string, n), bodies: make([][]byte, n),
	}
	for i, env := range envs {
		c.ids[i] = env.ID
		c.queues[i], c.types[i], c.subscribers[i], c.contents[i] = env.Queue, env.Type, env.Subscriber, env.ContentType
		if env.Priority != int(int16(env.Priority)) {
			return nil, fmt.Errorf("message %s of type %s: priority %d %w", env.ID, env.Type, env.Priority, errEncode)
		}
		c.priorities[i], c.versions[i] = int16(env.Priority), int64(env.Version)
		if !env.At.IsZero() {
			at := env.At.UTC().Truncate(time.Millisecond)
			if at.Before(env.At) {
				at = at.Add(time.Millisecond)
			}
			c.ats[i] = &at
		}
		c.delays[i], c.expiries[i], c.windows[i] = milliseconds(env.Delay), milliseconds(env.Expires), milliseconds(env.Window)
		if env.MaxRetries != nil {
			most := int64(*env.MaxRetries)
			c.retries[i] = &most
		}
		c.keys[i], c.groups[i] = null(env.Key), null(env.Group)
		c.special = c.special || env.Key != "" || env.Group != "" || !env.At.IsZero() || env.Delay > 0 || env.Expires > 0
		c.counts.add(env.Queue, env.Type)
		if c.bodies[i] = env.Body; env.Body == nil {
			c.bodies[i] = []byte{}
		}
		if err := c.label(i, env); err != nil {
			return nil, fmt.Errorf("message %s of type %s: %w", env.ID, env.Type, err)
		}
	}
	return c, nil
}

func (c *columns) label(i int, env *symphony.Envelope) error {
	if len(env.Headers) > 0 {
		text, err := json.Marshal(env.Headers)
		if err != nil {
			return err
		}
		for name, value := range env.Headers {
			if strings.Contains(name, "\x00") || strings.Contains(value, "\x00") {
				return fmt.Errorf("headers with a NUL %w", errEncode)
			}
		}
		headers := string(text)
		c.headers[i] = &headers
	}
	if len(env.Tags) > 0 {
		tags := list(env.Tags, quote)
		c.tags[i] = &tags
	}
	return nil
}

// milliseconds rounds up.
func milliseconds(d time.Duration) int64 {
	n := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		n++
	}
	return n
}

func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// plain are the arguments of insert.sql.
func (c *columns) plain(subscriptions int64) []any {
	return []any{
		subscriptions, c.ids, c.queues, c.types, unlessAll(c.subscribers, ""), c.priorities, unlessAll(c.retries, nil), unlessAll(c.headers, nil),
		unlessAll(c.tags, nil), unlessAll(c.versions, 0), c.contents, c.bodies, c.counts.queues, c.counts.types, c.counts.numbers,
	}
}

// unlessAll returns a column, and nil instead of one that has nothing but a default: it need not be sent.
func unlessAll[T comparable](column []T, is T) []T {
	if slices.ContainsFunc(column, func(v T) bool { return v != is }) {
		return column
	}
	return nil
}

// all are the arguments of accept.sql.
func (c *columns) all(subscriptions int64) []any {
	return []any{
		subscriptions, c.ids, c.types, c.subscribers, c.queues, c.priorities, c.ats, c.delays, c.expiries, c.retries, c.keys, c.windows, c.groups, c.headers, c.tags,
		c.versions, c.contents, c.bodies,
	}
}
