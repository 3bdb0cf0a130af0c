package cron

import "math/bits"

// A set holds small numbers; 192 of them are enough for the years.
type set [3]uint64

func (s *set) add(n int) { s[n>>6] |= 1 << (n & 63) }

func (s *set) has(n int) bool { return s[n>>6]>>(n&63)&1 != 0 }

// next returns the first number from n on, or -1.
func (s *set) next(n int) int {
	for w := n >> 6; w < len(s); w++ {
		word := s[w]
		if w == n>>6 {
			word &= ^uint64(0) << (n & 63)
		}
		if word != 0 {
			return w<<6 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// all returns the numbers in order.
func (s *set) all() []int {
	var numbers []int
	for n := s.next(0); n >= 0; n = s.next(n + 1) {
		numbers = append(numbers, n)
	}
	return numbers
}

// A field is one of an expression.
type field struct {
	name     string
	min, max int
	names    []string // of the numbers from min on
	values   string   // what is expected of a number, for errors
	hash     [2]int   // the range of H and #, so that every month has the day; {0, 0} when it takes none
}

// size is how many values there are.
func (f *field) size() int { return f.max - f.min + 1 }

// last is the largest number one may write.
func (f *field) last() int {
	if f == &dayOfWeek {
		return 7 // Sunday, too
	}
	return f.max
}

// clock reports whether the field is one of the time of day.
func (f *field) clock() bool { return f == &second || f == &minute || f == &hour }

// days reports whether the field chooses days.
func (f *field) days() bool { return f == &dayOfMonth || f == &dayOfWeek }

var (
	monthNames   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdayNames = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

	second     = field{name: "second", min: 0, max: 59, values: "a number from 0 to 59", hash: [2]int{0, 59}}
	minute     = field{name: "minute", min: 0, max: 59, values: "a number from 0 to 59", hash: [2]int{0, 59}}
	hour       = field{name: "hour", min: 0, max: 23, values: "a number from 0 to 23", hash: [2]int{0, 23}}
	dayOfMonth = field{name: "day of month", min: 1, max: 31, values: "a number from 1 to 31", hash: [2]int{1, 28}}
	month      = field{name: "month", min: 1, max: 12, names: monthNames, values: "a number from 1 to 12 or JAN to DEC", hash: [2]int{1, 12}}
	dayOfWeek  = field{name: "day of week", min: 0, max: 6, names: weekdayNames, values: "a number from 0 to 7 or SUN to SAT", hash: [2]int{0, 6}}
	year       = field{name: "year", min: 1970, max: 2099, values: "a number from 1970 to 2099"}
)
