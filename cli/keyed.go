package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/symphony-messenger/symphony"
)

// A takenFlag says what a dispatch does whose key is taken.
type takenFlag struct{ action string }

func (t *takenFlag) flag(c *cobra.Command) {
	c.Flags().StringVar(&t.action, "when-taken", "keep", "when the key is: keep the first message, replace what waits, or debounce with --delay")
}

// stamp is that of --key.
func (t *takenFlag) stamp(s *session, w *wishes) (symphony.Stamp, error) {
	switch t.action {
	case "keep":
		return symphony.IdempotencyKey(w.key, time.Duration(w.window)), nil
	case "replace":
		return symphony.Replace(w.key, time.Duration(w.window)), nil
	case "debounce":
		return symphony.Debounce(w.key, time.Duration(w.delay)), nil
	}
	return nil, s.usage("it is keep, replace or debounce", "unknown --when-taken %.50q", t.action)
}
