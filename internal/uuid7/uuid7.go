// Package uuid7 makes UUIDs of version 7 (RFC 9562): milliseconds, then what makes them unique.
package uuid7

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// A Maker makes UUIDs that grow: a counter follows the milliseconds (section 6.2, method 1, in rand_a). Its zero value is ready to use; it is
// safe for concurrent use.
type Maker struct {
	mu      sync.Mutex
	ms, seq uint64
}

// Next returns a UUID of this moment.
func (m *Maker) Next() (id [16]byte) {
	_, _ = rand.Read(id[8:]) // never fails: crypto/rand ends the program instead
	m.mu.Lock()
	defer m.mu.Unlock()
	if ms := uint64(time.Now().UnixMilli()); ms > m.ms {
		m.ms, m.seq = ms, 0
	} else if m.seq++; m.seq > 0xfff {
		m.ms, m.seq = m.ms+1, 0
	}
	binary.BigEndian.PutUint64(id[:8], m.ms<<16|7<<12|m.seq)
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Derive returns a UUID with the time of id whose other bits depend on id and name.
func Derive(id [16]byte, name string) [16]byte {
	sum := sha256.Sum256(append(id[:], name...))
	copy(id[6:], sum[:10])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Format returns the canonical form, 36 characters.
func Format(id [16]byte) string {
	var s [36]byte
	hex.Encode(s[:8], id[:4])
	hex.Encode(s[9:13], id[4:6])
	hex.Encode(s[14:18], id[6:8])
	hex.Encode(s[19:23], id[8:10])
	hex.Encode(s[24:], id[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Parse reads the canonical form of a UUID of any version; case does not matter.
func Parse(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
	return id, err == nil
}
