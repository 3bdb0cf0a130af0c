package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
)

// Settle implements [symphony.Transport].
func (t *Transport) Settle(ctx context.Context, verdicts []symphony.Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	var refused error
	err := t.write(ctx, func(q *queries) (err error) {
		refused, err = t.settle(q, verdicts, t.clock())
		return err
	})
	if err != nil {
		return t.fail("settle in", err)
	}
	t.tally.Add(verdicts, refused)
	t.writeMinutes(ctx, false)
	return refused
}

// A holding is a leased message as a verdict finds it.
type holding struct {
	seq, fence         int64
	id                 symphony.ID
	queue, typ         string
	subscriber, status string
	retries            int
	expires            sql.NullInt64
	group              sql.NullString
	cancelled          bool
	unhandled          bool // it waits for a handler
	attempts           sql.NullString
	lastError, class   sql.NullString
}

// A settling is one call of settle.
type settling struct {
	t         *Transport
	q         *queries
	now       int64
	held      map[int64]*holding
	completed []int64 // ended all at once, below
	lost      []symphony.Token
	notDone   []symphony.Token // verdicts with InTx that found the message still there
}

// settle records verdicts in q's transaction; now is the store's time. refused is a *LostError or *NotCommittedError, or both;
// err means that the transaction must roll back.
func (t *Transport) settle(q *queries, verdicts []symphony.Verdict, now int64) (refused, err error) {
	if len(verdicts) == 0 {
		return nil, nil
	}
	s := settling{t: t, q: q, now: now}
	if err := s.load(verdicts); err != nil {
		return nil, err
	}
	for i := range verdicts {
		if err := s.one(&verdicts[i]); err != nil {
			return nil, err
		}
	}
	if err := s.end(s.completed, monitor.Completed); err != nil {
		return nil, err
	}
	if len(s.lost) > 0 {
		refused = &symphony.LostError{Tokens: s.lost}
	}
	if len(s.notDone) > 0 {
		refused = errors.Join(refused, &symphony.NotCommittedError{Tokens: s.notDone})
	}
	return refused, nil
}

// load reads the messages that verdicts are about.
func (s *settling) load(verdicts []symphony.Verdict) error {
	seqs := make([]int64, 0, len(verdicts))
	for _, v := range verdicts {
		if seq, _, ok := parseToken(v.Token); ok {
			seqs = append(seqs, seq)
		}
	}
	return s.read(seqs)
}

// read reads messages. The transaction has the write lock, so that what is read stays true until it
// ends.
func (s *settling) read(seqs []int64) error {
	s.held = make(map[int64]*holding, len(seqs))
	all := make([]holding, 0, len(seqs))
	return s.q.each(sqlHeld, []any{array(seqs)}, func(rows *sql.Rows) error {
		all = append(all, holding{})
		h := &all[len(all)-1]
		var id []byte
		err := rows.Scan(&h.seq, &id, &h.queue, &h.typ, &h.subscriber, &h.status, &h.fence, &h.retries, &h.expires, &h.group,
			&h.attempts, &h.lastError, &h.class, &h.cancelled, &h.unhandled)
		copy(h.id[:], id)
		s.held[h.seq] = h
		return err
	})
}

// one applies a verdict, or notes that its lease is lost.
func (s *settling) one(v *symphony.Verdict) error {
	seq, fence, _ := parseToken(v.Token)
	h := s.held[seq]
	if h == nil || h.fence != fence || h.status != string(monitor.Processing) {
		if h != nil || !v.InTx { // else the handler's transaction has ended it
			s.lost = append(s.lost, v.Token)
		}
		return nil
	}
	if v.InTx {
		s.notDone = append(s.notDone, v.Token)
	}
	delete(s.held, seq) // a second verdict in the same call finds it gone
	switch v.Outcome {
	case symphony.Completed:
		s.q.move(h.queue, h.typ, monitor.Processing, monitor.Completed)
		s.completed = append(s.completed, seq)
		return s.leave(h)
	case symphony.Retried:
		if late, err := s.tooLate(h, v); late || err != nil {
			return err
		}
		return s.again(h, v, counters{retries: 1})
	case symphony.Snoozed:
		if late, err := s.tooLate(h, v); late || err != nil {
			return err
		}
		return s.again(h, v, counters{snoozes: 1})
	case symphony.Unhandled:
		return s.again(h, v, counters{unhandled: 1})
	case symphony.Released:
		return s.again(h, v, counters{})
	case symphony.Failed:
		return s.fail(h, v.Reason, v.Failure)
	case symphony.Cancelled:
		return s.ended(h, monitor.Cancelled, v.Failure)
	case symphony.Expired:
		if h.retries > 0 {
			return s.deadline(h)
		}
		return s.ended(h, monitor.Expired, nil)
	}
	return fmt.Errorf("verdict on message %s: unknown outcome %q", h.id, v.Outcome)
}

// tooLate ends a message whose next attempt would start after its expiry.
func (s *settling) tooLate(h *holding, v *symphony.Verdict) (bool, error) {
	if h.cancelled || !h.expires.Valid || addTime(s.now, v.After) < h.expires.Int64 {
		return false, nil
	}
	switch {
	case v.Failure != nil:
		return true, s.fail(h, symphony.ReasonDeadline, v.Failure)
	case h.retries > 0:
		return true, s.deadline(h)
	}
	return true, s.ended(h, monitor.Expired, nil)
}

// deadline makes a dead letter of a message that failed before and whose time is over now. Its error
// is the last one.
func (s *settling) deadline(h *holding) error {
	last := &symphony.Failure{Error: h.lastError.String, Class: h.class.String}
	return s.dead(h, symphony.ReasonDeadline, last, 0)
}

type counters struct{ retries, snoozes, unhandled int }

// again puts a message back. A member of a group goes on holding it.
func (s *settling) again(h *holding, v *symphony.Verdict, add counters) error {
	if h.cancelled { // while it ran, and the handler did not finish it
		return s.ended(h, monitor.Cancelled, v.Failure)
	}
	status, waiting, available := monitor.Pending, any(nil), any(nil)
	if v.After > 0 {
		status, available = monitor.Scheduled, addTime(s.now, v.After)
	}
	if add.unhandled > 0 && v.After > 0 {
		waiting = monitor.WaitingForHandler
		s.q.count(h.queue, h.typ, noHandler, 1)
	}
	var text, class, attempts any
	if v.Failure != nil {
		log, err := s.log(h, v.Failure)
		if err != nil {
			return err
		}
		text, class, attempts = v.Failure.Error, v.Failure.Class, log
	}
	s.q.move(h.queue, h.typ, monitor.Processing, status)
	s.q.ready = true
	return s.q.exec(sqlAgain, h.seq, string(status), available, add.retries, add.snoozes, add.unhandled, waiting, text, class, attempts)
}

// log returns the attempts of h with one more, as JSON.
func (s *settling) log(h *holding, f *symphony.Failure) (string, error) {
	var kept []monitor.Attempt
	if err := decode(h.attempts, &kept); err != nil {
		return "", fmt.Errorf("attempts of message %s: %w", h.id, err)
	}
	var worker string
	if _, err := s.q.one("select identity from messenger_workers where worker = (select locked_by from messenger_messages where seq = ?)",
		[]any{h.seq}, &worker); err != nil {
		return "", err
	}
	kept = monitor.AppendAttempt(kept, monitor.Attempt{
		Number: h.retries + 1, At: time.UnixMilli(s.now).UTC(), Worker: worker,
		Error: f.Error, Class: f.Class, Trace: f.Trace,
	})
	text, err := json.Marshal(kept)
	return string(text), err
}

// fail moves a message to the dead letters, unless somebody has cancelled it.
func (s *settling) fail(h *holding, reason symphony.Reason, f *symphony.Failure) error {
	if h.cancelled {
		return s.ended(h, monitor.Cancelled, f)
	}
	if f == nil {
		f = &symphony.Failure{Error: string(reason), Class: "error"}
	}
	failures := 1
	if reason == symphony.ReasonCrashLoop || reason == symphony.ReasonUnknownType { // it was not run
		failures = 0
	}
	return s.dead(h, reason, f, failures)
}

func (s *settling) dead(h *holding, reason symphony.Reason, f *symphony.Failure, failures int) error {
	attempts := any(nil)
	if h.attempts.Valid {
		attempts = h.attempts.String
	}
	if failures > 0 {
		log, err := s.log(h, f)
		if err != nil {
			return err
		}
		attempts = log
	}
	// A message that was sent again after its end may fail again.
	before, err := s.q.affected("delete from messenger_failed_messages where id = ?", h.id[:])
	if err != nil {
		return err
	}
	s.q.count(h.queue, h.typ, monitor.Failed, -before)
	err = s.q.exec(sqlFail, h.seq, s.t.options.Name, string(reason), f.Error, f.Class, null(f.Trace), f.Fingerprint(h.typ), s.now, failures, attempts)
	if err != nil {
		return err
	}
	s.q.move(h.queue, h.typ, monitor.Status(h.status), monitor.Failed)
	if h.unhandled {
		s.q.count(h.queue, h.typ, noHandler, -1)
	}
	return s.gone(h)
}

// ended ends a message as cancelled or expired.
func (s *settling) ended(h *holding, status monitor.Status, f *symphony.Failure) error {
	if f != nil {
		log, err := s.log(h, f)
		if err != nil {
			return err
		}
		if err := s.q.exec("update messenger_messages set last_error = ?, error_class = ?, attempts = ? where seq = ?",
			f.Error, f.Class, log, h.seq); err != nil {
			return err
		}
	}
	s.q.move(h.queue, h.typ, monitor.Status(h.status), status)
	if h.unhandled {
		s.q.count(h.queue, h.typ, noHandler, -1)
	}
	if err := s.end([]int64{h.seq}, status); err != nil {
		return err
	}
	return s.leave(h)
}

// end writes the history of messages and deletes them.
func (s *settling) end(seqs []int64, status monitor.Status) error {
	if len(seqs) == 0 {
		return nil
	}
	list := array(seqs)
	if mode := s.t.options.History; mode != HistoryOff || status != monitor.Completed {
		if err := s.q.exec(sqlHistory, list, string(status), s.now, mode != HistoryMeta); err != nil {
			return err
		}
	}
	return s.q.exec("delete from messenger_messages where seq in (select value from json_each(?))", list)
}

// gone deletes a message that was copied to the dead letters.
func (s *settling) gone(h *holding) error {
	if err := s.q.exec("delete from messenger_messages where seq = ?", h.seq); err != nil {
		return err
	}
	return s.leave(h)
}

func (s *settling) leave(h *holding) error {
	if !h.group.Valid {
		return nil
	}
	if err := s.t.promote(s.q, s.now); err != nil { // who is due was there before those sent later
		return err
	}
	return s.q.leave(h.queue, h.group.String, h.seq)
}
