package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

// A kind is what the values of a key are.
type kind struct {
	name   string
	parse  func(string) (any, error)
	show   func(any) string // nil: as it was written
	list   bool             // several texts
	secret bool             // not shown as it is
}

func (k kind) check(s string) error { _, err := k.parse(s); return err }

// stamped is a kind whose values become a stamp: the rules are those of the bus.
func stamped[T any](name string, parse func(string) (T, error), stamp func(T) symphony.Stamp) kind {
	return kind{name: name, parse: func(s string) (any, error) {
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		return v, rule(stamp(v)(&symphony.Envelope{}))
	}}
}

// rule is what an error of the bus's rules says beside the value, which the place of the error shows.
func rule(err error) error {
	if e, ok := errors.AsType[*symphony.InvalidError](err); ok {
		return fmt.Errorf("must be %s", e.Rule)
	}
	return err
}

func text(s string) (string, error) { return s, nil }

var (
	texts = kind{name: "text", parse: func(s string) (any, error) {
		if s == "" {
			return nil, errors.New("must not be empty")
		}
		return s, nil
	}}
	commands   = kind{name: "command", parse: texts.parse}
	paths      = kind{name: "path", parse: texts.parse}
	groups     = stamped("text", text, symphony.Group)
	priorities = stamped("number", whole, symphony.Priority)
	wholes     = stamped("number", whole, symphony.MaxRetries)
	tags       = kind{name: "list of texts", list: true, parse: stamped("", text, func(s string) symphony.Stamp { return symphony.Tag(s) }).parse}
	modes      = oneOf("full", "meta", "off")
	bools      = oneOfBool()
	counts     = kind{name: "number", parse: func(s string) (any, error) {
		n, err := whole(s)
		if err != nil || n < 1 {
			return nil, errors.New("must be a number, 1 or more")
		}
		return n, nil
	}}
	retries = kind{name: "number", parse: func(s string) (any, error) {
		n, err := whole(s)
		if err != nil || n < -1 {
			return nil, errors.New("must be a number, 0 or more, or -1 for no limit")
		}
		return n, nil
	}}
	multipliers = kind{name: "number", parse: func(s string) (any, error) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 1) || math.IsInf(f, 0) {
			return nil, errors.New("must be a number, 1 or more")
		}
		return f, nil
	}}
	shares = kind{name: "number", parse: func(s string) (any, error) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return nil, errors.New("must be a number from 0 to 1")
		}
		return f, nil
	}}
	sizes = kind{name: "size", parse: func(s string) (any, error) { return ParseSize(s) }}
	dsns  = kind{name: "DSN", secret: true, parse: func(s string) (any, error) {
		if !strings.Contains(s, "://") {
			return nil, errors.New("must be a DSN, such as sqlite://queue.db or postgres://user@host/database")
		}
		return s, nil
	}, show: func(v any) string { return MaskDSN(v.(string)) }}
)

func names(what string) kind {
	return kind{name: "name", parse: func(s string) (any, error) { return s, rule(symphony.CheckName(what, s)) }}
}

func oneOf(words ...string) kind {
	return kind{name: strings.Join(words, ", "), parse: func(s string) (any, error) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		last := len(words) - 1
		return nil, fmt.Errorf("must be %s or %s", strings.Join(words[:last], ", "), words[last])
	}}
}

func oneOfBool() kind {
	words := oneOf("true", "false")
	return kind{name: words.name, parse: func(s string) (any, error) {
		_, err := words.parse(s)
		return s == "true", err
	}}
}

func whole(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errors.New("must be a whole number")
	}
	return n, nil
}

// durations need a unit: a plain number would be taken for seconds by some and for milliseconds by others.
func durations(positive bool) kind {
	return kind{
		name: "duration",
		parse: func(s string) (any, error) {
			d, err := ParseDuration(s)
			if err != nil || d < 0 {
				return nil, errors.New("must be a duration with its unit, such as 500ms, 90s, 1h30m or 7d")
			}
			if positive && d == 0 {
				return nil, errors.New("must be longer than nothing")
			}
			return d, nil
		},
		show: func(v any) string { return showDuration(v.(time.Duration)) },
	}
}

// ParseDuration reads what package time does, and days: 90s, 1h30m, 7d. A number without a unit is an error.
func ParseDuration(s string) (time.Duration, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, errors.New("it has no unit")
		}
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseFloat(days, 64)
	if err != nil || !(n >= 0 && n <= 36500) {
		return 0, errors.New("no number of days")
	}
	return time.Duration(n * 24 * float64(time.Hour)), nil
}

func showDuration(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ParseSize reads a number of bytes, 1 or more: 1048576, 256K, 128M, 128MiB, 2G.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimSuffix(s, "iB")
	shift := 0
	if digits != "" {
		if i := strings.IndexByte("KMGT", digits[len(digits)-1]&^0x20); i >= 0 {
			digits, shift = digits[:len(digits)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64>>shift || strings.HasSuffix(s, "iB") && shift == 0 {
		return 0, errors.New("must be a number of bytes such as 1048576, 256K, 128M or 2G")
	}
	return n << shift, nil
}

func checkType(s string) error { return rule(symphony.CheckType(s)) }

// checkRoute takes a type, or a prefix of one with a "*" behind.
func checkRoute(s string) error {
	prefix, wild := strings.CutSuffix(s, "*")
	if wild && (prefix == "" || symphony.CheckType(prefix) == nil) || !wild && symphony.CheckType(s) == nil {
		return nil
	}
	return errors.New("must be a type such as email.send, or a prefix such as email.*")
}

func checkTransport(s string) error {
	if s == Sync {
		return errors.New("means that messages are handled in place: a transport needs another name")
	}
	return names("transport").check(s)
}

func checkHeader(s string) error {
	return rule(symphony.Header(s, "x")(&symphony.Envelope{}))
}
