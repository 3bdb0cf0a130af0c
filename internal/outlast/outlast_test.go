package outlast_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symphony-messenger/symphony/internal/outlast"
)

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(t.Context())
		ctx, cancel := outlast.Context(parent, time.Second)
		defer cancel()
		time.Sleep(time.Hour)
		end()
		time.Sleep(999 * time.Millisecond)
		if err := ctx.Err(); err != nil {
			t.Error("it ended before its time:", err)
		}
		time.Sleep(2 * time.Millisecond)
		if ctx.Err() == nil {
			t.Error("it has not ended")
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(t.Context())
		end()
		ctx, cancel := outlast.Context(parent, time.Second)
		cancel()
		if ctx.Err() == nil {
			t.Error("it has not ended")
		}
	})
}
