package cron_test

import (
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// On 8 March 2026 the clocks of New York go from 02:00 to 03:00.
func ExampleParse() {
	newYork, err := cron.Zone("America/New_York")
	if err != nil {
		panic(err)
	}
	nightly, err := cron.Parse("30 2 * * *", cron.In(newYork))
	if err != nil {
		panic(err)
	}
	fmt.Println(nightly.Describe())
	at := time.Date(2026, 3, 7, 0, 0, 0, 0, newYork)
	for range 3 {
		at = nightly.Next(at)
		fmt.Println(at)
	}
	// Output:
	// at 02:30 every day
	// 2026-03-07 02:30:00 -0500 EST
	// 2026-03-08 03:00:00 -0400 EDT
	// 2026-03-09 02:30:00 -0400 EDT
}

// Many schedules that are spread over the day, each always at its own time.
func ExampleSeed() {
	for _, name := range []string{"backup", "invoices"} {
		s, err := cron.Parse("H H(0-5) * * *", cron.Seed(name))
		if err != nil {
			panic(err)
		}
		fmt.Println(name, s)
	}
	// Output:
	// backup 52 4 * * *
	// invoices 57 2 * * *
}

func ExampleParseError() {
	_, err := cron.Parse("0 9 * * MON-FRIDAY")
	fmt.Println(err)
	// Output:
	// cron expression "0 9 * * MON-FRIDAY": day of week at position 16: found "DAY", expected "," or the end of the field
}
