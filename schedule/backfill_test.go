package schedule_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/monitor"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// TestBackfillOfWhatIsDue: a tick that was due when it was backfilled is done: the scheduler that comes too late neither fires it again nor
// decides by its policies about the message.
func TestBackfillOfWhatIsDue(t *testing.T) {
	for _, overlap := range []schedule.Overlap{schedule.OverlapAllow, schedule.OverlapSkip, schedule.OverlapCancel} {
		synctest.Test(t, func(t *testing.T) {
			store := &memory.Transport{}
			bus := &symphony.Bus{Transport: store, Logger: slog.New(slog.DiscardHandler)}
			m := &schedule.Manager{Bus: bus}
			hourly := schedule.Schedule{
				Name: "hourly", Kind: schedule.KindInterval, Expression: "1h", Overlap: overlap, Missed: schedule.MissedAll, Message: schedule.Message{Type: "t"},
			}
			if _, err := m.Apply(t.Context(), "a", []schedule.Schedule{hourly}, false); err != nil {
				t.Fatal(err)
			}
			before, err := m.Find(t.Context(), "hourly")
			if err != nil {
				t.Fatal(err)
			}
			first := before.NextRunAt
			time.Sleep(time.Until(first) + time.Minute)
			if b, err := m.Backfill(t.Context(), "hourly", schedule.Period{From: first, Until: time.Now()}, false); err != nil || b.Fired != 1 {
				t.Fatalf("%+v %v", b, err)
			}
			if _, err := (&schedule.Scheduler{Bus: bus}).Fire(t.Context()); err != nil {
				t.Fatal(err)
			}
			ticks, err := m.Ticks(t.Context(), schedule.TickQuery{Schedule: "hourly"})
			if err != nil || len(ticks) != 1 || ticks[0].Outcome != schedule.TickFired {
				t.Fatalf("%s: %+v %v", overlap, ticks, err)
			}
			got, err := store.Find(context.Background(), ticks[0].Messages[0])
			if err != nil || got.Status != monitor.Pending {
				t.Errorf("%s: the message of the backfill is %s, want pending; %v", overlap, got.Status, err)
			}
			if e, err := m.Find(t.Context(), "hourly"); err != nil || !e.NextRunAt.Equal(first.Add(time.Hour)) || e.SkippedCount != 0 || e.RunCount != 0 {
				t.Errorf("%s: %+v %v", overlap, e, err)
			}
		})
	}
}

// TestBackfillAfterAnEdit: a dry backfill counts what the other one would fire, also when other ticks have fired in its period.
func TestBackfillAfterAnEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Transport: &memory.Transport{}, Logger: slog.New(slog.DiscardHandler)}
		m := &schedule.Manager{Bus: bus}
		often := schedule.Schedule{Name: "often", Kind: schedule.KindInterval, Expression: "15m", Missed: schedule.MissedAll, Message: schedule.Message{Type: "t"}}
		if _, err := m.Apply(t.Context(), "a", []schedule.Schedule{often}, false); err != nil {
			t.Fatal(err)
		}
		begin := time.Now().UTC().Truncate(time.Hour)
		time.Sleep(time.Until(begin.Add(3*time.Hour + time.Minute)))
		if _, err := (&schedule.Scheduler{Bus: bus}).Fire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Edit(t.Context(), "often", func(s *schedule.Schedule) error { s.Expression = "10m"; return nil }, false); err != nil {
			t.Fatal(err)
		}
		p := schedule.Period{From: begin.Add(time.Hour), Until: begin.Add(2 * time.Hour)}
		dry, err := m.Backfill(t.Context(), "often", p, true)
		if err != nil {
			t.Fatal(err)
		}
		if want := (schedule.Backfill{Ticks: 6, Fired: 4, Before: 2, First: p.From, Last: p.From.Add(50 * time.Minute)}); dry != want {
			t.Errorf("the dry backfill says %+v, want %+v", dry, want)
		}
		if b, err := m.Backfill(t.Context(), "often", p, false); err != nil || b != dry {
			t.Errorf("the backfill says %+v %v, the dry one %+v", b, err, dry)
		}
	})
}
