package cron_test

import (
	"bufio"
	"encoding/json"
	"os"
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
