//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// A memoryStore has no transactions, and cannot list what it holds: it is asked for every message of the history.
type memoryStore struct {
	t      *memory.Transport
	events string // the directory of the history
}

func (s memoryStore) bare() symphony.Transport { return s.t }

func (s memoryStore) setup(context.Context) error { return nil }

func (s memoryStore) handleTx(*symphony.Bus, func(context.Context, userTx, txTask) error, ...symphony.HandlerOption) {
}

func (s memoryStore) inTx(context.Context, *symphony.Bus, func(userTx) error) error {
	return fmt.Errorf("a transaction in memory: %w", symphony.ErrUnsupported)
}

func (s memoryStore) final(ctx context.Context) (history.Final, error) {
	f := history.Final{
		IDs: map[history.Outcome][]string{
			history.Completed: {}, history.Failed: {}, history.Cancelled: {}, history.Expired: {}, history.Live: {},
		},
		Effects: make(map[string]int),
	}
	events, err := history.Read(s.events)
	if err != nil {
		return f, err
	}
	asked := make(map[string]bool)
	for _, e := range events {
		if e.Message == "" || asked[e.Message] {
			continue
		}
		asked[e.Message] = true
		id, err := symphony.ParseID(e.Message)
		if err != nil {
			return f, err
		}
		r, err := s.t.Find(ctx, id)
		if errors.Is(err, monitor.ErrNotFound) {
			continue
		}
		if err != nil {
			return f, err
		}
		state := outcomeOf(r.Status)
		f.IDs[state] = append(f.IDs[state], e.Message)
	}
	return f, nil
}
