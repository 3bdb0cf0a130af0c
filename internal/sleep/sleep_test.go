package sleep_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := sleep.For(t.Context(), time.Hour); err != nil || time.Since(begun) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(why) })
		begun = time.Now()
		if err := sleep.For(ctx, time.Hour); !errors.Is(err, why) || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		for _, d := range []time.Duration{0, -time.Second} {
			if err := sleep.For(ctx, d); !errors.Is(err, why) {
				t.Errorf("%v after ctx has ended", err)
			}
			if err := sleep.For(t.Context(), d); err != nil {
				t.Errorf("%v: there was nothing to wait for", err)
			}
		}
	})
}
