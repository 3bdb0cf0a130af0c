package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony/internal/sleep"
)

// idle measures what a worker costs that has nothing to do: the processor time of this process and of the server, in percent of one
// core.
func idle(ctx context.Context, s system, n sizes) ([]value, error) {
	at, ok := s.(interface{ server() int })
	if !ok {
		return nil, errors.New("idle_cpu is measured of systems that have a server only")
	}
	var client, server float64
	err := whileWorking(ctx, s, shift{handle: func(job) {}, takes: 2 * n.Idle, do: func(ctx context.Context) error {
		if err := warmUp(ctx, s); err != nil {
			return err
		}
		if err := sleep.For(ctx, n.Idle/3); err != nil { // what the messages have left to do is not idleness
			return err
		}
		before, err := usedBy(at.server())
		if err != nil {
			return err
		}
		began := time.Now()
		if err := sleep.For(ctx, n.Idle); err != nil {
			return err
		}
		after, err := usedBy(at.server())
		if err != nil {
			return err
		}
		took := time.Since(began).Seconds()
		client = 100 * (after.client - before.client).Seconds() / took
		server = 100 * (after.server - before.server).Seconds() / took
		return nil
	}})
	return []value{{"idle_cpu", "%", client + server}, {"idle_cpu_client", "%", client}, {"idle_cpu_server", "%", server}}, err
}

// used is processor time since the start.
type used struct{ client, server time.Duration }

// usedBy reads what this process and a server have used. The main process of a server counts what its children have used when they
// have ended, so the sum never falls.
func usedBy(server int) (u used, err error) {
	if server == 0 {
		return u, errors.New("read the times of the server: it does not run")
	}
	me, err := readStat("/proc/self/stat")
	if err != nil {
		return u, err
	}
	u.client = me.own
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, fmt.Errorf("list processes: %w", err)
	}
	for _, file := range files {
		p, err := readStat(file)
		if err != nil {
			continue // it has just ended
		}
		if p.id == server || p.parent == server { // servers have no grandchildren
			u.server += p.own + p.children
		}
	}
	return u, nil
}

// A stat is a line of /proc/PID/stat, as far as it matters here.
type stat struct {
	id, parent    int
	own, children time.Duration
}

func readStat(file string) (s stat, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return s, fmt.Errorf("read the times of a process: %w", err)
	}
	// The name of the program, in parentheses, may contain anything.
	end := strings.LastIndexByte(string(text), ')')
	id, _, _ := strings.Cut(string(text), " ")
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 15 {
		return s, fmt.Errorf("read the times of a process: %s is %q", file, text)
	}
	numbers := make([]int, 0, 6)
	for _, field := range []string{id, fields[1], fields[11], fields[12], fields[13], fields[14]} {
		number, err := strconv.Atoi(field)
		if err != nil {
			return s, fmt.Errorf("read the times of a process: %s is %q: %w", file, text, err)
		}
		numbers = append(numbers, number)
	}
	const tick = 10 * time.Millisecond // what Linux shows to programs, whatever the kernel was built with
	s.id, s.parent = numbers[0], numbers[1]
	s.own = time.Duration(numbers[2]+numbers[3]) * tick
	s.children = time.Duration(numbers[4]+numbers[5]) * tick
	return s, nil
}
