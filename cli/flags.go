package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/symphony-messenger/symphony/app/config"
)

// A duration is a flag that takes seconds, as Symfony's do, or a Go duration.
type duration time.Duration

// Set implements pflag.Value.
func (d *duration) Set(s string) error {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt64/float64(time.Second)/2 {
			return errors.New("must be a number of seconds, or a duration such as 90s, 1h30m or 7d")
		}
		*d = duration(seconds * float64(time.Second))
		return nil
	}
	v, err := config.ParseDuration(s)
	if err != nil {
		return errors.New("must be a number of seconds, or a duration such as 90s, 1h30m or 7d")
	}
	*d = duration(v)
	return nil
}

// String implements pflag.Value.
func (d *duration) String() string {
	if *d == 0 {
		return "" // no default in the help
	}
	return time.Duration(*d).String()
}

// Type implements pflag.Value.
func (*duration) Type() string { return "duration" }

// A size is a flag that takes bytes: 1048576, 128M, 2G.
type size int64

// Set implements pflag.Value.
func (n *size) Set(s string) error {
	v, err := config.ParseSize(s)
	*n = size(v)
	return err
}

// String implements pflag.Value.
func (n *size) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*n), 10)
}

// Type implements pflag.Value.
func (*size) Type() string { return "bytes" }

// A count is a flag that takes 1 or more.
type count int

// Set implements pflag.Value.
func (n *count) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < 1 {
		return errors.New("must be a number, 1 or more")
	}
	*n = count(v)
	return nil
}

// String implements pflag.Value.
func (n *count) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// Type implements pflag.Value.
func (*count) Type() string { return "number" }

// An instant is a flag that takes a time of RFC 3339.
type instant struct{ time.Time }

// Set implements pflag.Value.
func (t *instant) Set(s string) (err error) {
	if t.Time, err = time.Parse(time.RFC3339Nano, s); err != nil {
		return errors.New("must be a time such as 2026-01-31T08:00:00Z or 2026-01-31T09:00:00+01:00")
	}
	return nil
}

// String implements pflag.Value.
func (t *instant) String() string { return moment(t.Time) }

// Type implements pflag.Value.
func (*instant) Type() string { return "time" }

// A past is a flag that takes a time of RFC 3339, or how long ago it was.
type past struct{ instant }

// Set implements pflag.Value.
func (t *past) Set(s string) error {
	var ago duration
	if err := ago.Set(s); err == nil && ago >= 0 {
		t.Time = time.Now().Add(-time.Duration(ago))
		return nil
	}
	if err := t.instant.Set(s); err != nil {
		return fmt.Errorf("%w, or how long ago, such as 90m", err)
	}
	return nil
}
