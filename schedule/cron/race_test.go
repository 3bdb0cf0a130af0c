//go:build race

package cron_test

// slower is how many times longer calculations may take under the race detector.
const slower = 10
