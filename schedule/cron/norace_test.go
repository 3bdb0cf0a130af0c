//go:build !race

package cron_test

// slower is how many times longer calculations may take under the race detector, which is not there.
const slower = 1
