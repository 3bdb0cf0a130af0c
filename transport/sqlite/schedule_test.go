package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
)

// TestLookTakesNoLock: while all that is due is somebody else's, such as a schedule whose trigger only another program knows, looks wait for
// no writer and hold up none.
func TestLookTakesNoLock(t *testing.T) {
	store := openFile(t, filepath.Join(t.TempDir(), "test.db"), nil)
	m := &schedule.Manager{Bus: &symphony.Bus{Transport: store}}
	for _, name := range []string{"custom", "broken", "later"} {
		s := schedule.Schedule{Name: name, Kind: schedule.KindInterval, Expression: "1h", Message: schedule.Message{Type: "t"}}
		if _, err := m.Merge(t.Context(), "a", []schedule.Schedule{s}, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.DB().ExecContext(t.Context(), `update messenger_schedules set next_run_at = 1, kind = case name when 'custom' then name else kind end
where name <> 'later'`); err != nil {
		t.Fatal(err)
	}
	tx, err := store.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), "update messenger_schedules set run_count = 0"); err != nil { // now the write lock is held
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	u, err := store.Update(ctx, schedule.Selection{Due: &schedule.Due{Limit: 10, Except: []string{"broken"}}}, func(time.Time, []schedule.Entry) ([]schedule.Change, error) {
		t.Error("nothing is due")
		return nil, nil
	})
	if err != nil || u.Wait <= 0 || u.Wait > time.Hour {
		t.Errorf("%+v %v", u, err)
	}
}
