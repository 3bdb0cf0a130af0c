// Package history records what a queue did while its processes were killed, and checks the record.
//
// Every process of a test writes one file of JSON lines through a [Recorder]. [Read] merges the files
// of a directory, and [Check] holds them against the state of the store after the drain: nothing lost,
// nothing doubled, nothing early, every stale verdict refused. An operation is written twice, before it
// is asked for and after it is answered, so a process that dies in between leaves an unknown outcome,
// which may count either way but must agree with everything that follows.
//
// All processes run on one machine: its wall clock orders what two of them did. The checker reports only
// what is certain in spite of the time between an operation and its record, so a paused process cannot
// make a good history look broken.
package history

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// An Event is one line of a history. Which fields matter depends on its Kind. Times are nanoseconds since
// 1970 and 0 when unknown.
type Event struct {
	// Set by the recorder.
	Proc string `json:"proc"` // the process: the name of its file
	Seq  int64  `json:"seq"`  // 1, 2, 3 … within the process
	Wall int64  `json:"wall"` // when it was recorded, by the machine's clock

	Kind   Kind   `json:"kind"`
	Phase  Phase  `json:"phase,omitempty"`
	Op     int64  `json:"op,omitempty"` // in an answer: the Seq of the call it answers; details of the call need not be repeated
	Worker string `json:"worker,omitempty"`

	// Message is the id. The call of an enqueue may leave it out, if nobody knows it yet; a call that is
	// never answered is then recognised by its SHA256. A verdict or renewal may leave it to its Token.
	Message string `json:"message,omitempty"`

	// Of the call of an enqueue.
	Type       string        `json:"type,omitempty"`
	Subscriber string        `json:"subscriber,omitempty"`
	Queue      string        `json:"queue,omitempty"`
	Group      string        `json:"group,omitempty"`
	Key        string        `json:"key,omitempty"` // idempotency key, scoped by Type and Subscriber
	Window     time.Duration `json:"window,omitempty"`
	Due        int64         `json:"due,omitempty"` // absolute, by the store's clock
	Delay      time.Duration `json:"delay,omitempty"`
	Expires    time.Duration `json:"expires,omitempty"`
	MaxRetries *int          `json:"max_retries,omitempty"`
	SHA256     string        `json:"sha256,omitempty"` // of the body: see Sum; in claims too
	Tx         string        `json:"tx,omitempty"`     // the transaction, unique in its process; in Tx events too

	Holder string `json:"holder,omitempty"` // in a Duplicate answer: the message that holds the key

	// Of a claim. Token belongs also to renewals, starts, effects and verdicts.
	Token    string `json:"token,omitempty"`
	Fence    int64  `json:"fence,omitempty"`
	Attempt  int    `json:"attempt,omitempty"`
	Crashes  int    `json:"crashes,omitempty"`
	Store    int64  `json:"store,omitempty"`     // the store's clock when it did this; in answers too
	Since    int64  `json:"since,omitempty"`     // not claimed before, by the machine's clock: when the statement began
	LeaseEnd int64  `json:"lease_end,omitempty"` // not before, by the store's clock; in answers to renewals too

	// Of a verdict. A cancellation answered OK with the outcome Cancelled ended the message at once;
	// with none it only marked a running one.
	Outcome Outcome       `json:"outcome,omitempty"`
	After   time.Duration `json:"after,omitempty"`
	InTx    bool          `json:"in_tx,omitempty"` // made in the handler's own transaction; in Start and Effect: it will be

	// Of a fault.
	Fault  Fault  `json:"fault,omitempty"`
	Target string `json:"target,omitempty"` // the Proc it hits, or "store"
}

// A Kind says what an event is about.
type Kind string

// The kinds. Those with phases are operations: a Call before, an answer after.
const (
	Enqueue Kind = "enqueue" // phases Call, OK, Duplicate, Refused, Unknown
	Tx      Kind = "tx"      // end of a transaction with enqueues: Call before COMMIT, then OK, Rollback or Unknown
	Claim   Kind = "claim"   // written as soon as the worker has it, before it does anything with it
	Renew   Kind = "renew"   // phases Call, OK, Lost, Refused, Unknown
	Start   Kind = "start"   // the handler begins
	Effect  Kind = "effect"  // the handler has written its effect
	// Verdict has the phases Call, OK, Lost, Refused, Unknown. A completion in the handler's transaction
	// has InTx: the handler writes Call before it and the answer after COMMIT; when the worker learns
	// whether it was committed it writes that answer again, without a call. Both count as one.
	Verdict  Kind = "verdict"
	Dead     Kind = "dead"   // the store moved it to the dead letters without a verdict
	Cancel   Kind = "cancel" // phases Call, OK, Refused, Unknown
	Replay   Kind = "replay" // a person put an ended message back: phases as Cancel
	Injected Kind = "fault"  // written by whoever injects it, just before
	Tick     Kind = "tick"   // of a schedule; not checked yet
)

// A Phase says how far an operation has come.
type Phase string

// The phases.
const (
	Call      Phase = "call"      // about to be asked for
	OK        Phase = "ok"        // accepted
	Duplicate Phase = "duplicate" // nothing stored: Holder has the key
	Refused   Phase = "error"     // certainly not done
	Lost      Phase = "lost"      // not done: the lease has passed on
	Rollback  Phase = "rollback"  // the transaction was rolled back
	Unknown   Phase = "unknown"   // done or not; the same as no answer
)

// An Outcome is what a verdict wants, and in [Final] what became of a message.
type Outcome string

// The outcomes. The first four are final.
const (
	Completed Outcome = "completed"
	Failed    Outcome = "failed"
	Cancelled Outcome = "cancelled"
	Expired   Outcome = "expired"

	Retried  Outcome = "retried"
	Snoozed  Outcome = "snoozed"
	Released Outcome = "released"

	Live     Outcome = "live"     // in Final: not ended yet
	Accepted Outcome = "accepted" // in Final.Counters: all messages ever stored
)

func (o Outcome) final() bool {
	return o == Completed || o == Failed || o == Cancelled || o == Expired
}

// A Fault is something done to a process or to the store on purpose.
type Fault string

// The faults that the figures count. Others may be recorded under any name.
const (
	Kill    Fault = "kill"    // SIGKILL
	Stop    Fault = "stop"    // SIGSTOP
	Cont    Fault = "cont"    // SIGCONT
	Restart Fault = "restart" // the target was started again
)

// Faults of a store that is a server.
const (
	ServerDown Fault = "server down" // it is stopped as by a crash
	ServerUp   Fault = "server up"   // it accepts connections again
	Terminate  Fault = "terminate"   // one of its sessions was ended
	Cut        Fault = "cut"         // a connection, with the answer to a request on its way
	Hang       Fault = "hang"        // connections on which nothing is forwarded any more
	HangOver   Fault = "hang over"   // these connections were cut
)

// Sum returns the hash of a body as Event.SHA256 wants it.
func Sum(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}
