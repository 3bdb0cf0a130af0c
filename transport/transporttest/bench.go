package transporttest

import (
	"testing"

	"github.com/symphony-messenger/symphony"
)

// Benchmark measures a store: sending one and 1,000 messages, claiming and settling 100 at a time, and
// the same in one round trip where the store can. Each figure is for one call; msg/s is beside it.
func Benchmark(b *testing.B, open func(tb testing.TB) Store) {
	b.Run("send 1", func(b *testing.B) {
		s := open(b)
		measure(b, 1, func() {
			if _, err := s.Transport.Send(b.Context(), batch(1)); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("send 1000", func(b *testing.B) {
		s := open(b)
		measure(b, 1000, func() {
			if _, err := s.Transport.Send(b.Context(), batch(1000)); err != nil {
				b.Fatal(err)
			}
		})
	})
	const size = 100
	b.Run("receive and settle 100", func(b *testing.B) {
		s := open(b)
		fill(b, s, b.N*size)
		measure(b, size, func() {
			ds, err := s.Transport.Receive(b.Context(), claim("w", size))
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Transport.Settle(b.Context(), completions(ds)); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("exchange 100", func(b *testing.B) {
		s := open(b)
		ex, ok := symphony.As[symphony.Exchanger](s.Transport)
		if !ok {
			b.Log("left out: the store does not declare Exchange")
			return
		}
		fill(b, s, b.N*size)
		var ds []symphony.Delivery
		measure(b, size, func() {
			var err error
			if ds, err = ex.Exchange(b.Context(), completions(ds), claim("w", size)); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func measure(b *testing.B, each int, do func()) {
	b.ResetTimer()
	for range b.N {
		do()
	}
	b.ReportMetric(float64(b.N*each)/b.Elapsed().Seconds(), "msg/s")
}

func batch(n int) []*symphony.Envelope {
	envs := make([]*symphony.Envelope, n)
	for i := range envs {
		envs[i] = message()
	}
	return envs
}

func fill(b *testing.B, s Store, n int) {
	b.Helper()
	for n > 0 {
		few := min(n, 1000)
		if _, err := s.Transport.Send(b.Context(), batch(few)); err != nil {
			b.Fatal(err)
		}
		n -= few
	}
}

func completions(ds []symphony.Delivery) []symphony.Verdict {
	verdicts := make([]symphony.Verdict, len(ds))
	for i, d := range ds {
		verdicts[i] = done(d)
	}
	return verdicts
}
