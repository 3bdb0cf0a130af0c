package retry_test

import (
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony/retry"
)

// A job that calls a slow partner: eight retries, from half a minute up to an hour.
func ExampleExponential() {
	policy := retry.Exponential{Max: 8, Delay: 30 * time.Second, Multiplier: 3, Cap: time.Hour, Jitter: -1}
	for failures := 1; ; failures++ {
		wait, again := policy.Next(failures, nil)
		if !again {
			break
		}
		fmt.Println(failures, wait)
	}
	// Output:
	// 1 30s
	// 2 1m30s
	// 3 4m30s
	// 4 13m30s
	// 5 40m30s
	// 6 1h0m0s
	// 7 1h0m0s
	// 8 1h0m0s
}
