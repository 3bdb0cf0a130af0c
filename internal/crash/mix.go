//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/retry"
)

// A behaviour is what a handler does with a message.
type behaviour string

const (
	succeeds   behaviour = "succeeds"
	failsTwice behaviour = "fails twice"
	panics     behaviour = "panics once"
	waits      behaviour = "says when to retry, once"
	snoozes    behaviour = "snoozes once"
	gives      behaviour = "gives up"
	exhausts   behaviour = "fails always"
	stubborn   behaviour = "ignores the end of its context"
	forgets    behaviour = "does not commit, once"
)

// A task is the message of a run; its handler's effect is an event of the history. What a handler does
// with it depends on it and on its attempt alone, so that a seed repeats a run.
type task struct {
	Name   string    `json:"name"` // unique: so is the body
	Does   behaviour `json:"does"`
	Millis int       `json:"millis"` // that it takes
}

// MessageType implements [symphony.Message].
func (task) MessageType() string { return "crash.task" }

func (t task) takes() time.Duration { return time.Duration(t.Millis) * time.Millisecond }

// A txTask is completed with its effect, a row, in a transaction that the transport makes.
type txTask struct{ task }

// MessageType implements [symphony.Message].
func (txTask) MessageType() string { return "crash.tx" }

// An ownTxTask is the same in a transaction that the handler makes.
type ownTxTask struct{ task }

// MessageType implements [symphony.Message].
func (ownTxTask) MessageType() string { return "crash.own-tx" }

// What handlers ask for.
const (
	snooze      = 200 * time.Millisecond
	retryIn     = 300 * time.Millisecond
	maxRetries  = 3
	maxCrashes  = 5
	concurrency = 20
	spare       = "spare" // the queue beside the default one
)

func retryPolicy() retry.Exponential {
	return retry.Exponential{Max: maxRetries, Delay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.1}
}

// leastBackoff is the shortest wait that the policy allows.
func leastBackoff(failures int) time.Duration {
	p := retryPolicy()
	p.Jitter = -1
	return p.Wait(failures) * 9 / 10
}

// A drawn message is one that a producer is to send.
type drawn struct {
	message symphony.Message // with its stamps
	cancel  time.Duration    // when to cancel it after it was sent; 0: never
}

// A mix says what is sent: the same for the same seed, whoever asks and how often.
type mix struct {
	Seed     uint64 `json:"seed"`
	Jobs     int    `json:"jobs"`
	Producer int    `json:"producer"`
	Kinds    kinds  `json:"kinds,omitempty"`
}

// kinds says which of the messages of a mix are sent.
type kinds string

const (
	noTx   kinds = "no tx" // no transactions: the store has none
	onlyTx kinds = "tx"    // nothing but messages that are completed in transactions, sent as fast as they can be
)

func (m mix) rand(purpose uint64, n int) *rand.Rand {
	return rand.New(rand.NewPCG(m.Seed, purpose<<48|uint64(m.Producer)<<40|uint64(n)))
}

// draw returns message n of the producer. A restarted producer gives each a new name.
func (m mix) draw(n int, name string) drawn {
	rng := m.rand(1, n)
	if m.Kinds == onlyTx {
		t := task{Name: name, Does: succeeds}
		if rng.IntN(2) == 0 {
			return drawn{message: txTask{t}}
		}
		return drawn{message: ownTxTask{t}}
	}
	t := task{Name: name, Does: succeeds, Millis: duration(rng)}
	var d drawn
	var stamps []symphony.Stamp
	switch roll := rng.IntN(100); {
	case roll < 10:
		t.Does = failsTwice
	case roll < 12:
		t.Does = panics
	case roll < 15:
		t.Does = waits
	case roll < 19:
		t.Does = snoozes
	case roll < 22:
		t.Does = gives
	case roll < 24:
		t.Does = exhausts
		stamps = append(stamps, symphony.MaxRetries(1))
	}
	roll := rng.IntN(100)
	if m.Kinds == noTx {
		roll = 99
	}
	switch {
	case roll < 15:
		t.Millis %= 3 // it holds the store's write lock meanwhile
		d.message = txTask{t}
	case roll < 25:
		if t.Does == succeeds && rng.IntN(5) == 0 {
			t.Does = forgets
		}
		d.message = ownTxTask{t}
	default:
		if t.Does == succeeds && rng.IntN(5) == 0 {
			t.Does = stubborn
		}
		d.message = task(t)
	}
	stamps = append(stamps, m.stamps(rng)...)
	if rng.IntN(50) == 0 {
		d.cancel = time.Duration(1+rng.IntN(300)) * time.Millisecond
		stamps = append(stamps, symphony.Delay(time.Duration(rng.IntN(400))*time.Millisecond))
	}
	d.message = symphony.Wrap(d.message, stamps...)
	return d
}

// duration draws how many milliseconds a message takes: most are short, some outlast faults.
func duration(rng *rand.Rand) int {
	switch roll := rng.IntN(100); {
	case roll < 70:
		return rng.IntN(10)
	case roll < 90:
		return 20 + rng.IntN(100)
	}
	return 200 + rng.IntN(600)
}

func (m mix) stamps(rng *rand.Rand) []symphony.Stamp {
	var stamps []symphony.Stamp
	if rng.IntN(10) == 0 {
		stamps = append(stamps, symphony.Group(fmt.Sprintf("group-%d", rng.IntN(40))))
	}
	if rng.IntN(20) == 0 {
		k := rng.IntN(max(m.Jobs/40, 1)) // each about twice: a twentieth of the jobs has one
		windows := []time.Duration{0, time.Second, time.Hour}
		stamps = append(stamps, symphony.IdempotencyKey(fmt.Sprintf("key-%d", k), windows[k%len(windows)]))
	}
	if rng.IntN(20) == 0 {
		wait := time.Duration(50+rng.IntN(1500)) * time.Millisecond
		if rng.IntN(4) == 0 {
			stamps = append(stamps, symphony.At(time.Now().Add(wait)))
		} else {
			stamps = append(stamps, symphony.Delay(wait))
		}
	}
	if rng.IntN(40) == 0 {
		stamps = append(stamps, symphony.Expires(time.Duration(100+rng.IntN(900))*time.Millisecond))
		if rng.IntN(4) == 0 { // it cannot ever run
			stamps = append(stamps, symphony.Delay(time.Second))
		}
	}
	if rng.IntN(10) == 0 {
		stamps = append(stamps, symphony.Priority(1+rng.IntN(10)))
	}
	if rng.IntN(5) == 0 {
		stamps = append(stamps, symphony.Queue(spare))
	}
	return stamps
}

// A way is how messages are sent.
type way int

const (
	singly way = iota
	inBatch
	inTx
	inTxRolledBack
)

// next says how the producer sends its messages from n on, and how many at once.
func (m mix) next(n int) (w way, size int) {
	if m.Kinds == onlyTx {
		return inBatch, min(100, m.Jobs/producers-n)
	}
	rng := m.rand(2, n)
	switch roll := rng.IntN(100); {
	case roll < 5:
		w, size = inBatch, 2+rng.IntN(29)
	case roll < 20:
		w, size = inTx, 1+rng.IntN(4)
		if rng.IntN(20) == 0 {
			w = inTxRolledBack
		}
	default:
		w, size = singly, 1
	}
	if m.Kinds == noTx && (w == inTx || w == inTxRolledBack) {
		w = inBatch
	}
	return w, min(size, m.Jobs/producers-n)
}
