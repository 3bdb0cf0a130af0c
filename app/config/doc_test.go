package config

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of keys into docs/configuration.md")

// keyTable is the table of docs/configuration.md.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | values | default | variable | |\n|---|---|---|---|---|\n")
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	for _, k := range Keys() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(k.Name), k.Type, code(k.Default), code(k.Env()), k.Doc)
	}
	return b.String()
}

// TestDocumentedKeys: the documentation has exactly the keys that there are, with their types, defaults and variables.
func TestDocumentedKeys(t *testing.T) {
	const file = "../../docs/configuration.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), "<!-- keys -->\n")
	table, after, ok2 := strings.Cut(rest, "<!-- /keys -->\n")
	if !ok || !ok2 {
		t.Fatal("the documentation has no place for the keys")
	}
	if table == keyTable() {
		return
	}
	if !*update {
		t.Fatal("docs/configuration.md does not list the keys as they are: run go test ./app/config -update")
	}
	if err := os.WriteFile(file, []byte(before+"<!-- keys -->\n"+keyTable()+"<!-- /keys -->\n"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDefaults: the defaults that are documented are those in force.
func TestDefaults(t *testing.T) {
	with := "transports: {main: sqlite://q.db}\n"
	for _, k := range Keys() {
		if k.Default == "" || strings.Contains(k.Name, "*") {
			continue
		}
		at := ""
		for i, part := range strings.Split(k.Name, ".") {
			at += "\n" + strings.Repeat("  ", i) + part + ":"
		}
		plain, err := load(t, with, nil)
		if err != nil {
			t.Fatal(err)
		}
		set, err := load(t, with+strings.TrimPrefix(at, "\n")+" "+k.Default+"\n", nil)
		if err != nil {
			t.Errorf("%s: its default is refused: %v", k.Name, err)
			continue
		}
		plain.settings, set.settings = nil, nil
		if k.Name == "body_limit" { // the bus's own
			plain.BodyLimit = 256 << 10
		}
		if a, b := fmt.Sprintf("%+v", *plain), fmt.Sprintf("%+v", *set); a != b {
			t.Errorf("%s: without it\n%s\nwith its default\n%s", k.Name, a, b)
		}
	}
}

// TestExample: what config init prints has every key, and is right with and without its comments.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../cli/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, string(text), nil); err != nil {
		t.Error(err)
	}
	commented := regexp.MustCompile(`(?m)^( *)# ?((?: *[a-z_]+|  email\.\*|  email\.send|  audit\.login):.*)$`)
	all := commented.ReplaceAllString(string(text), "$1$2")
	c, err := load(t, all, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, all)
	}
	shown := make(map[string]bool)
	for _, s := range c.Settings() {
		if s.Origin != (Origin{}) {
			shown[s.Key] = true
		}
	}
	for _, k := range Keys() {
		if strings.Contains(k.Name, ".retry.") || strings.HasPrefix(k.Name, "transports.*.history") {
			continue // once is enough
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(k.Name), `\*`, `("[^"]+"|[^.]+)`)
		found := false
		for key := range shown {
			found = found || regexp.MustCompile("^"+pattern+"$").MatchString(key)
		}
		if !found {
			t.Errorf("the example does not have %s", k.Name)
		}
	}
}
