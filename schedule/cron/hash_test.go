package cron_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/symphony-messenger/symphony/schedule/cron"
)

// The file has what Symfony's own code made of each expression for each message.
func TestSameNumbersAsSymfony(t *testing.T) {
	f, err := os.Open("testdata/symfony-hashed.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var vector [3]string
		if err := json.Unmarshal(lines.Bytes(), &vector); err != nil {
			t.Fatal(err)
		}
		message, expr, want := vector[0], vector[1], vector[2]
		s, err := cron.Parse(expr, cron.Seed(message))
		if err != nil {
			t.Errorf("%q for %.20q: %v", expr, message, err)
			continue
		}
		if s.String() != want {
			t.Errorf("%q for %.20q is %q, Symfony has %q", expr, message, s, want)
		}
	}
	if n != 70 {
		t.Errorf("%d vectors, want 70", n)
	}
}

// A release that chose other numbers would move everybody's schedules.
func TestHashesNeverChange(t *testing.T) {
	for _, tt := range []struct{ seed, expr, want string }{
		{"backup", "H H * * *", "52 16 * * *"},
		{"backup", "H/15 * * * *", "7-59/15 * * * *"},
		{"backup", "H(0-29)/10 H(1-5) * * *", "2-29/10 2 * * *"},
		{"backup", "H H H H H", "52 16 22 3 4"},
		{"backup", "H H 0 * * *", "3 52 0 * * *"},
		{"backup", "H,30 0 H/9 * *", "52,30 0 3-28/9 * *"},
		{"", "h h * * *", "48 23 * * *"},
		{"Backup", "H H * * *", "46 11 * * *"},
		{"a", "# # 0 * * *", "58 0 0 * * *"},
		{"a", "#(5-5) # 0 * * *", "5 58 0 * * *"}, // what has no choice draws nothing
	} {
		s := parse(t, tt.expr, cron.Seed(tt.seed))
		if s.String() != tt.want {
			t.Errorf("{%q, %q, %q},", tt.seed, tt.expr, s)
		}
	}
}

// Each number of the range comes as often as the others, more or less.
func TestHashesSpread(t *testing.T) {
	for _, expr := range []string{"H 0 * * *", "# 0 * * *"} {
		const seeds = 6000
		times := make(map[string]int)
		for i := range seeds {
			minute, _, _ := strings.Cut(parse(t, expr, cron.Seed(strconv.Itoa(i))).String(), " ")
			times[minute]++
		}
		for minute, n := range times {
			if n < 60 || n > 150 {
				t.Errorf("%s is minute %s for %d of %d seeds, want about 100", expr, minute, n, seeds)
			}
		}
		if len(times) != 60 {
			t.Errorf("%s chooses among %d minutes", expr, len(times))
		}
	}
}
