package cron

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// pick is what H chooses: a number below n that depends on the seed and the field alone.
func pick(seed string, f *field, n int) int {
	sum := sha256.Sum256([]byte(f.name + "\x00" + seed))
	return int(binary.BigEndian.Uint64(sum[:]) % uint64(n))
}

// A randomizer draws the numbers of #: PHP's Random\Randomizer on Xoshiro256StarStar, seeded as Symfony does. One
// expression draws its fields from left to right.
type randomizer [4]uint64

func newRandomizer(seed string) *randomizer {
	sum := sha256.Sum256([]byte(seed))
	var r randomizer
	for i := range r {
		r[i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	return &r
}

func (r *randomizer) next() uint64 {
	result := bits.RotateLeft64(r[1]*5, 7) * 9
	t := r[1] << 17
	r[2] ^= r[0]
	r[3] ^= r[1]
	r[1] ^= r[2]
	r[0] ^= r[3]
	r[2] ^= t
	r[3] = bits.RotateLeft64(r[3], 45)
	return result
}

// between draws a number from lo to hi, both included. One that has no choice draws nothing.
func (r *randomizer) between(lo, hi int) int {
	if lo == hi {
		return lo
	}
	n := uint32(hi - lo + 1)
	drawn := uint32(r.next())
	if n&(n-1) == 0 {
		return lo + int(drawn&(n-1))
	}
	// Numbers above the last whole multiple of n would favour the small results.
	for most := ^uint32(0) - ^uint32(0)%n - 1; drawn > most; {
		drawn = uint32(r.next())
	}
	return lo + int(drawn%n)
}
