package schedule_test

import (
	"context"
	"fmt"
	"time"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/schedule"
	"github.com/symphony-messenger/symphony/transport/memory"
)

type ReportNightly struct{ Days int }

func (ReportNightly) MessageType() string { return "report_nightly" }

func Example() {
	bus := &symphony.Bus{Transport: &memory.Transport{}} // or that of PostgreSQL or SQLite, which lasts
	s := &schedule.Scheduler{Bus: bus, Owner: "shop"}
	err := s.Add("nightly-report", schedule.Cron("0 3 * * *", "Europe/Berlin"), ReportNightly{Days: 1},
		schedule.WithOverlap(schedule.OverlapSkip), schedule.WithJitter(time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.Run(ctx); err != nil { // until the program ends
		fmt.Println(err)
		return
	}

	m := &schedule.Manager{Bus: bus}
	all, err := m.List(context.Background(), schedule.Query{Owner: "shop"})
	for _, e := range all {
		fmt.Println(e.Name, e.State(), e.Message.Type, e.NextRunAt.After(time.Now()))
	}
	fmt.Println(err)
	// Output:
	// nightly-report active report_nightly true
	// <nil>
}

func ExampleSchedule_Next() {
	s := schedule.Schedule{
		Name: "payday", Kind: schedule.KindCron, Expression: "0 9 LW * *", Timezone: "Europe/Berlin",
		Exclude: []schedule.Period{{From: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}},
	}
	ticks, err := s.Next(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), 3)
	for _, t := range ticks {
		fmt.Println(t.UTC().Format(time.RFC3339))
	}
	fmt.Println(err)
	// Output:
	// 2026-10-30T08:00:00Z
	// 2026-11-30T08:00:00Z
	// 2027-01-29T08:00:00Z
	// <nil>
}
