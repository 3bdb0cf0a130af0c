//go:build unix

package main

import (
	"slices"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/history"
)

// holdings is what a worker holds. A Renew puts back, without counting a crash, what the store has leased to the
// worker for longer than a lease and the call does not name: the answer to the claim was lost, or is late,
// as it is in a paused process. Nobody is told, so it is written down as a verdict whose outcome is unknown.
type holdings struct {
	journal  journal
	mu       sync.Mutex
	claims   map[symphony.Token]holding
	renewals int       // under way
	renewed  time.Time // when the last one began
	crashed  int       // claims of what another lease had run out on
}

type holding struct {
	until time.Time // not put back before, by the store's clock
	noted bool
}

// took notes a claim, whose answer may be so late that a renewal did not know of it. h.mu is held.
func (h *holdings) took(d *symphony.Delivery, lease time.Duration) {
	h.claims[d.Token] = holding{until: d.ClaimedAt.Add(lease)}
	if d.Envelope.Crashes > 0 {
		h.crashed++
	}
	if h.renewals > 0 || h.renewed.After(d.Until.Add(-lease)) {
		h.note(d.Token)
	}
}

// afterCrash says how many claims of the worker came after a lease that had run out.
func (h *holdings) afterCrash() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.crashed
}

func (h *holdings) gone(token symphony.Token) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.claims, token)
}

// renewing is to be called before the store is asked to renew the leases of named.
func (h *holdings) renewing(named []symphony.Token) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewals++
	h.renewed = time.Now()
	for token := range h.claims {
		if !slices.Contains(named, token) {
			h.note(token)
		}
	}
}

func (h *holdings) answered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewals--
}

func (h *holdings) note(token symphony.Token) {
	c := h.claims[token]
	if c.noted {
		return
	}
	c.noted = true
	h.claims[token] = c
	h.journal.write(history.Event{
		Kind: history.Verdict, Phase: history.Unknown, Token: string(token), Outcome: history.Released, Store: c.until.UnixNano(),
	})
}
