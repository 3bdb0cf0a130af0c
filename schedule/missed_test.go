package schedule_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// TestManyMissed: a scheduler that finds more missed ticks than it may fire at once goes on with them, and does not wait for its next look.
func TestManyMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &symphony.Bus{Transport: &memory.Transport{}, Logger: slog.New(slog.DiscardHandler)}
		m := &schedule.Manager{Bus: bus}
		daily := schedule.Schedule{Name: "daily", Kind: schedule.KindInterval, Expression: "24h", Missed: schedule.MissedAll, Message: schedule.Message{Type: "t"}}
		if _, err := m.Apply(t.Context(), "a", []schedule.Schedule{daily}, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1000*24*time.Hour + time.Hour)
		stop := running(t.Context(), (&schedule.Scheduler{Bus: bus, Poll: time.Minute}).Run)
		time.Sleep(time.Second)
		if e, err := m.Find(t.Context(), "daily"); err != nil || e.RunCount != 1000 {
			t.Errorf("%d ticks of 1000 have fired after a second; %v", e.RunCount, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
