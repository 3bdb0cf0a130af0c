package memory_test

import (
	"flag"
	"testing"

	"github.com/symphony-messenger/symphony/transport/transporttest"
)

var losses = flag.Int("losses", 200, "leases that are taken away in TestLeaseLosses, for each way of giving a verdict")

func TestLeaseLosses(t *testing.T) { transporttest.Losses(t, open, *losses) }
