package main

import (
	"slices"
	"strings"
	"testing"
)

// A mutant whose text has moved on is found here and not only by make mutants.
func TestMutantsApply(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, m := range mutants() {
		name := m.store + ": " + m.name
		if names[name] {
			t.Errorf("%s: there are two of that name", name)
		}
		names[name] = true
		if m.by == "" {
			t.Errorf("%s: no case that must fail is given", name)
		}
		broken, err := m.apply(bench{root: root}.source(m))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if m.old == m.new || !strings.Contains(string(broken), m.new) {
			t.Errorf("%s: it changes nothing", name)
		}
	}
}

func TestFailures(t *testing.T) {
	got := failures("--- FAIL: TestConformance (0.03s)\n    --- FAIL: TestConformance/key/no_window (0.13s)\n        keys.go:1: --- FAIL: x\n" +
		"    --- FAIL: TestConformance/a/b (0.13s)\n--- FAIL: TestOther/c (0.1s)\n")
	if want := []string{"TestOther/c", "a/b", "key/no window"}; !slices.Equal(got, want) {
		t.Errorf("failures are %q, want %q", got, want)
	}
}
