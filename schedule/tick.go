package schedule

import (
	"context"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/errtext"
)

// TickFrom returns the schedule and the tick whose message is handled in ctx; ok is false when it came from elsewhere. The tick is the time
// for which the run was planned, in UTC, however late it is; for a run that somebody asked for it is when.
func TickFrom(ctx context.Context) (name string, tick time.Time, ok bool) {
	env, _ := symphony.EnvelopeFrom(ctx)
	if env == nil || env.Headers[HeaderSchedule] == "" {
		return "", time.Time{}, false
	}
	tick, err := time.Parse(time.RFC3339Nano, env.Headers[HeaderTick])
	return env.Headers[HeaderSchedule], tick, err == nil
}

// cutText is an error as it is kept beside its schedule.
func cutText(text string) string { return errtext.Clean(text, 1<<10) }
