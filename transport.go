package symphony

import (
	"context"
	"sync/atomic"
	"time"
)

// A Transport keeps envelopes until a worker has settled them. All methods may be called concurrently.
// One that holds resources is also an io.Closer; whoever opened it closes it. More powers, such as
// listing, are small interfaces of their own: ask for them with [As].
type Transport interface {
	Sender
	// Receive leases envelopes to c.Worker, c.Max at most. It blocks until there is at least one, or
	// until ctx ends, and then returns ctx's error; nothing is leased then. It never returns neither. A
	// ctx that ends during the first look does not keep it from bringing what is there.
	Receive(ctx context.Context, c Claim) ([]Delivery, error)
	// Settle records verdicts, each fenced by its token. Those whose lease is lost change nothing and
	// are named by a *[LostError]; the others are applied. A *[NotCommittedError] names those with InTx
	// that found nothing committed; both may come joined. Settle is all or none for every other error, and may be repeated.
	Settle(ctx context.Context, verdicts []Verdict) error
	// Renew keeps the leases of everything that worker holds, in one statement, for as long as it
	// claimed them. held are the tokens that the worker knows of; what the store has leased to it
	// besides them for longer than a lease never arrived, and is put back.
	Renew(ctx context.Context, worker string, held []Token) (Renewal, error)
	// Capabilities says which wishes of an envelope Send honours. The bus refuses the others.
	Capabilities() Capabilities
}

// A Sender stores envelopes: a transport, or a transport inside somebody's transaction.
type Sender interface {
	// Send stores all envelopes or none and returns their receipts in order. It does not keep or
	// change envs. When it returns nil they survive a crash of this process. An envelope whose ID is
	// that of a live message is not stored again and is no duplicate: that makes Send repeatable.
	Send(ctx context.Context, envs []*Envelope) ([]Receipt, error)
}

// A Token fences a lease: it is worth nothing once the lease has passed to another worker.
type Token string

// A Claim says what a worker is ready to take.
type Claim struct {
	Worker string       // unique to one run of one worker
	Queues []QueueClaim // in the order of preference: a later one fills what those before it leave
	Max    int
	Except []string // types that the worker cannot take now
	Lease  time.Duration
}

// A QueueClaim is one queue of a Claim.
type QueueClaim struct {
	Name string
	Max  int // 0: as many as the Claim allows
}

// A Delivery is an envelope leased to one worker.
type Delivery struct {
	Envelope  *Envelope // owned by the receiver
	Token     Token
	DueAt     time.Time // by the store's clock, as ClaimedAt; zero: the store does not say
	ClaimedAt time.Time
	Until     time.Time // when the lease ends at the earliest, by this process's monotonic clock
	Deadline  time.Time // no attempt may start later, by this process's monotonic clock; zero: none
	Unhandled int       // how often it was put back because a worker had no handler

	inTx int32 // atomic: 1 when its handler has completed it; the heartbeat asks meanwhile
}

// DeliveryFrom returns the delivery that is being handled in ctx; none when it is handled in place.
func DeliveryFrom(ctx context.Context) (*Delivery, bool) {
	d, _ := ctx.Value(deliveryKey{}).(*Delivery)
	return d, d != nil
}

type deliveryKey struct{}

// CompletedInTx is for transports: the handler has completed d inside its own transaction, and the
// store has agreed. When the handler returns, the worker asks the transport whether that transaction
// was committed, and counts a failure if it was not.
func (d *Delivery) CompletedInTx() { atomic.StoreInt32(&d.inTx, 1) }

func (d *Delivery) completedInTx() bool { return atomic.LoadInt32(&d.inTx) == 1 }

// A Verdict says what becomes of a delivery.
type Verdict struct {
	Token   Token
	Outcome Outcome
	After   time.Duration // Retried, Snoozed, Unhandled: the wait before the next delivery, added to the store's clock
	Reason  Reason        // Failed: why it is a dead letter
	Failure *Failure      // Retried, Failed, Cancelled: the error; nil otherwise
	Attempt *Delivery     // what was handled, for figures; nil: nothing was
	Took    time.Duration // how long the handler ran; in a batch, the whole batch
	// InTx: the handler has completed the message in its own transaction. If that was committed, the
	// message is gone and this verdict changes nothing; if not, it is applied as it stands and named
	// by a *NotCommittedError.
	InTx bool
}

// An Outcome is what became of a delivery.
type Outcome string

// The outcomes.
const (
	Completed Outcome = "completed" // never deliver again
	Retried   Outcome = "retried"   // count a failure, deliver again after After
	Snoozed   Outcome = "snoozed"   // count nothing, deliver again after After
	Released  Outcome = "released"  // never started: deliver again at once, to anybody
	Unhandled Outcome = "unhandled" // no handler here: deliver again after After, counted apart
	Failed    Outcome = "failed"    // keep as a dead letter
	Cancelled Outcome = "cancelled" // end without a dead letter
	Expired   Outcome = "expired"   // its deadline passed before this attempt started
)

// A Reason says why a message is a dead letter.
type Reason string

// The reasons.
const (
	ReasonExhausted   Reason = "exhausted"    // no retry is left
	ReasonPermanent   Reason = "permanent"    // the handler said so
	ReasonDeadline    Reason = "deadline"     // the next attempt would start after its expiry
	ReasonCrashLoop   Reason = "crash_loop"   // too many leases ran out
	ReasonUnknownType Reason = "unknown_type" // nobody had a handler for too long
	ReasonUndecodable Reason = "undecodable"  // the codec refused the body
	ReasonInvalid     Reason = "invalid"      // Validate refused the message
)

// A Renewal says which leases a worker no longer has, and which messages somebody has cancelled.
type Renewal struct{ Lost, Cancelled []Token }

// A LostError names the verdicts that came too late. It matches ErrLeaseLost.
type LostError struct{ Tokens []Token }

// Error implements error.
func (e *LostError) Error() string { return ErrLeaseLost.Error() }

// Is makes errors.Is(err, ErrLeaseLost) true.
func (e *LostError) Is(target error) bool { return target == ErrLeaseLost }

// A NotCommittedError names the verdicts with InTx whose transaction was not committed, and which
// were therefore applied as they stand. It matches ErrNotCommitted.
type NotCommittedError struct{ Tokens []Token }

// Error implements error.
func (e *NotCommittedError) Error() string { return ErrNotCommitted.Error() }

// Is makes errors.Is(err, ErrNotCommitted) true.
func (e *NotCommittedError) Is(target error) bool { return target == ErrNotCommitted }

// Capabilities says what a transport can do.
type Capabilities struct {
	MaxDelay    time.Duration // 0: no delays
	MaxBody     int           // bytes; 0: no limit of its own
	Priority    bool
	Expiry      bool
	Idempotency bool
	Replace     bool // what waits under an idempotency key can be replaced
	Group       bool
	InTx        bool // messages can be sent and completed in the user's transaction
}

// An Exchanger settles verdicts and leases the next envelopes in one round trip. It does not block
// when there are none. Its error is that of Settle, and with a *LostError or *NotCommittedError the
// deliveries are valid; with any other error nothing was settled or leased.
type Exchanger interface {
	Exchange(ctx context.Context, verdicts []Verdict, c Claim) ([]Delivery, error)
}

// A Maintainer has work that somebody must do now and then, such as dropping old history. Workers
// call it; any number of processes may do so at once. One call is bounded; more says that there is
// more to do at once.
type Maintainer interface {
	Maintain(ctx context.Context) (more bool, err error)
}

// A Leaver forgets a worker that has ended and holds nothing, instead of taking it for alive until its lease is over. A worker that still holds
// something stays, so that its leases run out. An unknown worker is no error.
type Leaver interface {
	Leave(ctx context.Context, worker string) error
}

// As finds an optional interface on t or on a transport that t wraps (Unwrap() Transport).
func As[T any](t Transport) (_ T, found bool) {
	for ; t != nil; t = inner(t) {
		if v, ok := t.(T); ok {
			return v, true
		}
	}
	return
}

func inner(t Transport) Transport {
	if u, ok := t.(interface{ Unwrap() Transport }); ok {
		return u.Unwrap()
	}
	return nil
}
