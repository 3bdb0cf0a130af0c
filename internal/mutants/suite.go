package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	testName = "TestConformance"
	patience = 3 * time.Minute // for one run; one that takes longer hangs
)

// A suiteError says that the suite ran, and failed.
type suiteError struct {
	hung   bool
	output string
}

// Error shows the end of what the suite has printed.
func (e *suiteError) Error() string {
	tail := e.output[max(0, len(e.output)-4000):]
	if e.hung {
		return "the suite did not end:\n" + tail
	}
	return "the suite fails:\n" + tail
}

// first is the first thing that a case has complained about.
func (e *suiteError) first() string {
	if e.hung {
		return "the suite did not end"
	}
	for _, said := range regexp.MustCompile(`(?m)^ +([a-z_]+\.go:\d+: .*)$`).FindAllStringSubmatch(e.output, -1) {
		if !strings.HasPrefix(said[1], "transporttest.go:") { // which only says what it leaves out, and the contract
			return fmt.Sprintf("%.180s", said[1])
		}
	}
	return "the test program ended early"
}

// build compiles the tests of the package in dir, with the replacements of an overlay file unless that is "", and
// returns the program.
func (b bench) build(ctx context.Context, dir, overlay string) (string, error) {
	program := filepath.Join(b.work, path.Base(dir)+".test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "-overlay="+overlay, "./"+dir)
	build.Dir = b.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the tests: %w\n%s", err, out)
	}
	return program, nil
}

// whole is what of a package's tests must pass if nothing is broken: of a transport the suite, of others all.
func whole(dir string) string {
	if strings.HasPrefix(dir, "transport/") {
		return ""
	}
	return "Test"
}

// suite runs the tests whose names begin with prefix, or the cases of the conformance test if that is no name of a test. It returns those that
// failed, with a *suiteError; any other error means that there was nothing to run.
func (b bench) suite(ctx context.Context, dir, program, prefix string) (failed []string, err error) {
	pattern, ran := "^"+testName+"$", "=== RUN   "+testName+"/"
	if strings.HasPrefix(prefix, "Test") {
		pattern, ran = "^"+prefix, "=== RUN   "+prefix
	} else {
		for part := range strings.SplitSeq(prefix, "/") {
			pattern += "/^" + regexp.QuoteMeta(strings.ReplaceAll(part, " ", "_"))
		}
	}
	var out bytes.Buffer
	args := []string{"-test.v", "-test.run=" + pattern, "-test.timeout=" + patience.String(), "-test.parallel=16"}
	if strings.HasPrefix(dir, "transport/") {
		args = append(args, "-rapid.nofailfile")
	}
	test := exec.CommandContext(ctx, program, args...)
	test.Dir, test.Env = filepath.Join(b.root, filepath.FromSlash(dir)), b.env
	test.Stdout, test.Stderr = &out, &out
	err = test.Run()
	_, failure := errors.AsType[*exec.ExitError](err)
	switch text := out.String(); {
	case err != nil && !failure:
		return nil, fmt.Errorf("run the tests: %w", err)
	case !strings.Contains(text, ran):
		return nil, fmt.Errorf("the package has no %s with the case %q:\n%s", testName, prefix, text)
	case err == nil:
		return nil, nil
	default:
		return failures(text), &suiteError{hung: strings.Contains(text, "panic: test timed out"), output: text}
	}
}

// failures are the names of the cases that failed, as they are in the suite, but for spaces, and of other tests.
func failures(output string) []string {
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`).FindAllStringSubmatch(output, -1) {
		name, isCase := strings.CutPrefix(match[1], testName+"/")
		if isCase || name != testName {
			names = append(names, strings.ReplaceAll(name, "_", " "))
		}
	}
	slices.Sort(names)
	return names
}
