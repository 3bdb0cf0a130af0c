package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
)

// entries reads schedules, and into u the clock and the next tick that is not due, if the statement answers them.
func entries(ctx context.Context, ex executor, u *schedule.Update, text string, args ...any) (all []schedule.Entry, err error) {
	err = ex.query(ctx, text, args, func(scan scanner) error {
		var r entryRow
		if err := scan(r.dest()...); err != nil {
			return err
		}
		if u != nil {
			u.Now, u.Next = timeOf(r.now), timeOf(r.upcoming)
		}
		if r.name == nil {
			return nil
		}
		e, err := r.entry()
		if err != nil {
			return fmt.Errorf("schedule %s: %w", *r.name, err)
		}
		all = append(all, e)
		return nil
	})
	return all, err
}

// An entryRow is a schedule as the statements answer it; all of it is null where there is none.
type entryRow struct {
	now, upcoming, anchor, from, until, next, tick, run, edited, dropped, created, updated *time.Time

	name, owner, kind, expression, timezone, typ, content, queue, stamps, missed, overlap, excluded, messages, lastError, declared, live *string

	window, jitter, maxRuns, runs, missedCount, skipped *int64

	enabled *bool
	body    []byte
}

func (r *entryRow) dest() []any {
	return []any{
		&r.now, &r.upcoming, &r.name, &r.owner, &r.kind, &r.expression, &r.timezone, &r.anchor, &r.typ, &r.content, &r.queue, &r.stamps, &r.body,
		&r.missed, &r.window, &r.overlap, &r.jitter, &r.from, &r.until, &r.excluded, &r.maxRuns, &r.enabled, &r.next, &r.tick, &r.run, &r.runs,
		&r.missedCount, &r.skipped, &r.messages, &r.lastError, &r.declared, &r.edited, &r.dropped, &r.created, &r.updated, &r.live,
	}
}

func (r *entryRow) entry() (e schedule.Entry, err error) {
	e = schedule.Entry{
		Schedule: schedule.Schedule{
			Name: *r.name, Owner: *r.owner, Kind: schedule.Kind(*r.kind), Expression: *r.expression, Timezone: *r.timezone, Anchor: timeOf(r.anchor),
			Message: schedule.Message{Type: *r.typ, ContentType: *r.content, Queue: *r.queue, Body: r.body},
			Missed:  schedule.Missed(*r.missed), Window: time.Duration(*r.window) * time.Millisecond, Overlap: schedule.Overlap(*r.overlap),
			Jitter: time.Duration(*r.jitter) * time.Millisecond, From: timeOf(r.from), Until: timeOf(r.until), MaxRuns: *r.maxRuns,
		},
		Enabled: *r.enabled, NextRunAt: timeOf(r.next), LastTickAt: timeOf(r.tick), LastRunAt: timeOf(r.run), RunCount: *r.runs,
		MissedCount: *r.missedCount, SkippedCount: *r.skipped, Declared: *r.declared, EditedAt: timeOf(r.edited), DroppedAt: timeOf(r.dropped),
		CreatedAt: timeOf(r.created), UpdatedAt: timeOf(r.updated),
	}
	if r.lastError != nil {
		e.LastError = *r.lastError
	}
	if r.excluded != nil {
		if err := json.Unmarshal([]byte(*r.excluded), &e.Exclude); err != nil {
			return e, fmt.Errorf("its excluded times: %w", err)
		}
	}
	if err := e.Message.SetStamps(*r.stamps); err != nil {
		return e, err
	}
	if e.LastMessages, err = idList(r.messages); err != nil || r.live == nil {
		return e, err
	}
	for part := range strings.SplitSeq(*r.live, ",") {
		text, started := strings.CutSuffix(part, "+")
		id, err := symphony.ParseID(strings.TrimSuffix(text, "-"))
		if err != nil {
			return e, err
		}
		e.Live = append(e.Live, schedule.Live{ID: id, Started: started})
	}
	return e, nil
}

// A scheduleRow is a schedule as schedules_create.sql and schedules_replace.sql take it.
type scheduleRow struct {
	Name         string            `json:"name"`
	Owner        string            `json:"owner"`
	Kind         schedule.Kind     `json:"kind"`
	Expression   string            `json:"expression"`
	Timezone     string            `json:"timezone"`
	Anchor       *time.Time        `json:"anchor_at"`
	Type         string            `json:"message_type"`
	ContentType  string            `json:"content_type"`
	Queue        string            `json:"queue_name"`
	Stamps       json.RawMessage   `json:"stamps"`
	Body         []byte            `json:"body"`
	Missed       schedule.Missed   `json:"missed"`
	Window       int64             `json:"missed_window"`
	Overlap      schedule.Overlap  `json:"overlap"`
	Jitter       int64             `json:"jitter"`
	From         *time.Time        `json:"from_at"`
	Until        *time.Time        `json:"until_at"`
	Exclude      []schedule.Period `json:"excluded,omitempty"`
	MaxRuns      int64             `json:"max_runs"`
	Enabled      bool              `json:"enabled"`
	NextRunAt    *time.Time        `json:"next_run_at"`
	LastTickAt   *time.Time        `json:"last_tick_at"`
	LastRunAt    *time.Time        `json:"last_run_at"`
	RunCount     int64             `json:"run_count"`
	MissedCount  int64             `json:"missed_count"`
	SkippedCount int64             `json:"skipped_count"`
	LastMessages []symphony.ID     `json:"last_messages"`
	LastError    *string           `json:"last_error"`
	Declared     string            `json:"declared"`
	EditedAt     *time.Time        `json:"edited_at"`
	DroppedAt    *time.Time        `json:"dropped_at"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
}

func newScheduleRow(e *schedule.Entry) (scheduleRow, error) {
	stamps, err := e.Message.Stamps()
	r := scheduleRow{
		Name: e.Name, Owner: e.Owner, Kind: e.Kind, Expression: e.Expression, Timezone: e.Timezone, Anchor: when(e.Anchor),
		Type: e.Message.Type, ContentType: e.Message.ContentType, Queue: e.Message.Queue, Stamps: json.RawMessage(stamps), Body: e.Message.Body,
		Missed: e.Missed, Window: e.Window.Milliseconds(), Overlap: e.Overlap, Jitter: e.Jitter.Milliseconds(), From: when(e.From), Until: when(e.Until),
		Exclude: e.Exclude, MaxRuns: e.MaxRuns, Enabled: e.Enabled, NextRunAt: when(e.NextRunAt), LastTickAt: when(e.LastTickAt),
		LastRunAt: when(e.LastRunAt), RunCount: e.RunCount, MissedCount: e.MissedCount, SkippedCount: e.SkippedCount, LastMessages: e.LastMessages,
		LastError: null(e.LastError), Declared: e.Declared, EditedAt: when(e.EditedAt), DroppedAt: when(e.DroppedAt), CreatedAt: e.CreatedAt,
		UpdatedAt: e.UpdatedAt,
	}
	if r.Body == nil {
		r.Body = []byte{}
	}
	return r, err
}

// when is a time that may be null: the zero one.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// idList reads what array_to_string has written.
func idList(text *string) (ids []symphony.ID, err error) {
	if text == nil || *text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(*text, ",") {
		id, err := symphony.ParseID(part)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// idArray writes ids as an array of PostgreSQL.
func idArray(ids []symphony.ID) *string {
	if len(ids) == 0 {
		return nil
	}
	text := list(ids, symphony.ID.String)
	return &text
}
