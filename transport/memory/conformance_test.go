package memory_test

import (
	"testing"

	"github.com/symphony-messenger/symphony/transport/memory"
	"github.com/symphony-messenger/symphony/transport/transporttest"
)

func open(testing.TB) transporttest.Store {
	q := new(memory.Transport)
	return transporttest.Store{Transport: q, Advance: q.Advance}
}

func TestConformance(t *testing.T) { transporttest.Run(t, open) }

func BenchmarkTransport(b *testing.B) { transporttest.Benchmark(b, open) }

func BenchmarkMonitor(b *testing.B) { transporttest.BenchmarkMonitor(b, open) }
