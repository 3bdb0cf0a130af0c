package memory

import (
	"context"
	"time"
)

// How much is kept of what has ended.
const (
	historyAge      = 24 * time.Hour
	historyMessages = 10_000
	historyBytes    = 64 << 20
	maintainAtOnce  = 1_000
)

// history is ended messages that are no dead letters, the oldest first.
type history struct {
	messages []*message
	bytes    int
}

// add keeps m and returns those for which there is no room any more.
func (h *history) add(m *message) (dropped []*message) {
	h.messages = append(h.messages, m)
	h.bytes += len(m.env.Body)
	for len(h.messages) > historyMessages || h.bytes > historyBytes && len(h.messages) > 1 {
		dropped = append(dropped, h.drop())
	}
	return dropped
}

func (h *history) drop() *message {
	m := h.messages[0]
	h.messages[0] = nil
	h.messages = h.messages[1:]
	h.bytes -= len(m.env.Body)
	return m
}

// Maintain implements [symphony.Maintainer]: it drops history and idempotency keys whose time is over.
func (t *Transport) Maintain(ctx context.Context) (more bool, err error) {
	now, err := t.begin(ctx)
	if err != nil {
		return false, err
	}
	defer t.mu.Unlock()
	old := func() bool {
		return len(t.history.messages) > 0 && t.history.messages[0].finished <= now.Add(-historyAge).UnixMilli()
	}
	for n := 0; n < maintainAtOnce && old(); n++ {
		delete(t.messages, t.history.drop().env.ID)
	}
	moreKeys := t.freeKeys(now.UnixMilli(), maintainAtOnce)
	return moreKeys || old(), nil
}
