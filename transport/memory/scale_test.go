package memory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/transport/memory"
)

// What cannot be claimed must not stand in the way of what can.
func BenchmarkExchangeBehindAMillion(b *testing.B) {
	for _, test := range []struct {
		name string
		make func(i int, env *symphony.Envelope)
	}{
		{"delayed", func(_ int, env *symphony.Envelope) { env.Delay = 24 * time.Hour }},
		{"grouped", func(_ int, env *symphony.Envelope) { env.Group = "g" }},
		{"of a type that is excepted", func(_ int, env *symphony.Envelope) { env.Type = "b" }},
		{"of 1,000 groups that wait", func(i int, env *symphony.Envelope) { env.Group = fmt.Sprint(i % 1000) }},
	} {
		b.Run(test.name, func(b *testing.B) {
			q := new(memory.Transport)
			envs := make([]*symphony.Envelope, 1_000_000)
			for i := range envs {
				envs[i] = envelope("a")
				envs[i].Priority = 10
				test.make(i, envs[i])
			}
			if _, err := q.Send(b.Context(), envs); err != nil {
				b.Fatal(err)
			}
			c := claim(1000)
			c.Lease, c.Except = 24*time.Hour, []string{"b"}
			if _, err := q.Exchange(b.Context(), nil, c); err != nil { // the heads of the groups
				b.Fatal(err)
			}
			c.Max = 100
			n := 0
			for b.Loop() {
				envs := make([]*symphony.Envelope, 100)
				for i := range envs {
					envs[i] = envelope("a")
				}
				if _, err := q.Send(b.Context(), envs); err != nil {
					b.Fatal(err)
				}
				got, err := q.Exchange(b.Context(), nil, c)
				if err != nil || len(got) != 100 {
					b.Fatalf("Exchange: %d deliveries, %v", len(got), err)
				}
				verdicts := make([]symphony.Verdict, len(got))
				for i, d := range got {
					verdicts[i] = symphony.Verdict{Token: d.Token, Outcome: symphony.Completed}
				}
				if err := q.Settle(b.Context(), verdicts); err != nil {
					b.Fatal(err)
				}
				n += len(got)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
