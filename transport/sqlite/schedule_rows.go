package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
)

// scheduleEntries reads schedules.
func scheduleEntries(q *queries, text string, args ...any) (all []schedule.Entry, err error) {
	err = q.each(text, args, func(rows *sql.Rows) error {
		e, err := scanEntry(rows)
		if err != nil {
			return fmt.Errorf("schedule %s: %w", e.Name, err)
		}
		all = append(all, e)
		return nil
	})
	return all, err
}

func scanEntry(rows *sql.Rows) (e schedule.Entry, err error) {
	var anchor, from, until, next, tick, run, edited, dropped sql.NullInt64
	var created, updated, window, jitter int64
	var stamps string
	var excluded, messages, problem sql.NullString
	m := &e.Message
	if err := rows.Scan(&e.Name, &e.Owner, &e.Kind, &e.Expression, &e.Timezone, &anchor, &m.Type, &m.ContentType, &m.Queue, &stamps, &m.Body,
		&e.Missed, &window, &e.Overlap, &jitter, &from, &until, &excluded, &e.MaxRuns, &e.Enabled, &next, &tick, &run, &e.RunCount,
		&e.MissedCount, &e.SkippedCount, &messages, &problem, &e.Declared, &edited, &dropped, &created, &updated); err != nil {
		return e, err
	}
	e.Window, e.Jitter = time.Duration(window)*time.Millisecond, time.Duration(jitter)*time.Millisecond
	e.CreatedAt, e.UpdatedAt, e.LastError = timeAt(created), timeAt(updated), problem.String
	e.Anchor, e.From, e.Until, e.NextRunAt = timeOrZero(anchor), timeOrZero(from), timeOrZero(until), timeOrZero(next)
	e.LastTickAt, e.LastRunAt, e.EditedAt, e.DroppedAt = timeOrZero(tick), timeOrZero(run), timeOrZero(edited), timeOrZero(dropped)
	if err := m.SetStamps(stamps); err != nil {
		return e, err
	}
	if excluded.Valid {
		if err := json.Unmarshal([]byte(excluded.String), &e.Exclude); err != nil {
			return e, fmt.Errorf("its excluded times: %w", err)
		}
	}
	e.LastMessages, err = idsOf(messages)
	return e, err
}

// scheduleArgs are the arguments of schedules_write.sql.
func scheduleArgs(e *schedule.Entry) ([]any, error) {
	m := &e.Message
	stamps, err := m.Stamps()
	if err != nil {
		return nil, err
	}
	excluded, err := encode(len(e.Exclude), e.Exclude)
	if err != nil {
		return nil, err
	}
	body := m.Body
	if body == nil {
		body = []byte{}
	}
	return []any{
		e.Name, e.Owner, string(e.Kind), e.Expression, e.Timezone, msOf(e.Anchor), m.Type, m.ContentType, m.Queue, stamps, body,
		string(e.Missed), e.Window.Milliseconds(), string(e.Overlap), e.Jitter.Milliseconds(), msOf(e.From), msOf(e.Until), excluded, e.MaxRuns, e.Enabled,
		msOf(e.NextRunAt), msOf(e.LastTickAt), msOf(e.LastRunAt), e.RunCount, e.MissedCount, e.SkippedCount, idTexts(e.LastMessages), null(e.LastError),
		e.Declared, msOf(e.EditedAt), msOf(e.DroppedAt), e.CreatedAt.UnixMilli(), e.UpdatedAt.UnixMilli(),
	}, nil
}

func timeAt(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func timeOrZero(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return timeAt(ms.Int64)
}

// msOf is a time that may be null: the zero one.
func msOf(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// idTexts is a list of ids as JSON, null when it is empty.
func idTexts(ids []symphony.ID) any {
	text, _ := encode(len(ids), ids) // they are texts
	return text
}

func idsOf(text sql.NullString) (ids []symphony.ID, err error) {
	if !text.Valid {
		return nil, nil
	}
	return ids, json.Unmarshal([]byte(text.String), &ids)
}

// nameList is a list as JSON. Of null SQLite would make a row.
func nameList(names []string) string {
	if names == nil {
		return "[]"
	}
	return array(names)
}
