package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/sleep"
)

// An announcer tells workers elsewhere of new messages, in transactions of its own: a NOTIFY takes a lock that all transactions with one
// share until their commit. It waits a little between two, and then names each queue once.
type announcer struct {
	mu      sync.Mutex
	due     map[string]bool
	running bool
	pid     uint32 // of the session that told last
	told    time.Time
}

// own reports whether a notification from a session is one of ours, which those who wait here know of already. A process ID may be somebody else's
// a second later.
func (a *announcer) own(pid uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return pid == a.pid && time.Since(a.told) < time.Second
}

// tells notes whose notification is on its way.
func (a *announcer) tells(pid uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pid, a.told = pid, time.Now()
}

const announcePause = 5 * time.Millisecond

// announce tells workers here and elsewhere that there may be something to claim.
func (t *Transport) announce(envs []*symphony.Envelope) {
	t.wake.Send()
	names := make([]string, 0, 1)
	for _, env := range envs {
		if len(names) == 0 || names[len(names)-1] != env.Queue {
			names = append(names, env.Queue)
		}
	}
	t.announceQueues(names...)
}

func (t *Transport) announceQueues(names ...string) {
	a := &t.service.announcer
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		a.due[name] = true
	}
	if !a.running && len(a.due) > 0 {
		a.running = true
		t.service.run(t.announceAll)
	}
}

// announceAll tells of all queues there are, and of those that come while it waits.
func (t *Transport) announceAll(ctx context.Context) {
	a := &t.service.announcer
	for {
		a.mu.Lock()
		names := make([]string, 0, len(a.due))
		for name := range a.due {
			names = append(names, name)
		}
		clear(a.due)
		if a.running = len(names) > 0 && ctx.Err() == nil; !a.running {
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		if err := within(ctx, func(ctx context.Context) error { return t.tell(ctx, names) }); err != nil {
			t.service.complain("tell workers of new messages", err) // they poll
		}
		_ = sleep.For(ctx, announcePause)
	}
}

// tell sends one notification for each queue.
func (t *Transport) tell(ctx context.Context, queues []string) error {
	var pid uint32
	var told int
	err := t.upkeep.QueryRow(ctx, t.sql.tell, t.sql.channel(), queues).Scan(&pid, &told)
	if err == nil && !t.config.pooled { // else the session is anybody's
		t.service.tells(pid)
	}
	return err
}

// Wake tells workers, here and in other processes, that there may be something new in a queue: after the commit of a transaction that
// sent messages. It does not block.
func (t *Transport) Wake(queue string) {
	t.stir()
	t.announceQueues(queue)
}
