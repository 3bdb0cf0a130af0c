package postgres

import (
	"encoding/hex"
	"strconv"

	"github.com/symphony-messenger/symphony"
)

// A leaseName is what a token says: the message, the random number of the claim that leased it, and whether the message has a
// key or is in a group, so that its end must do more. Written, it is id, the number in hexadecimal, and an S if so.
type leaseName struct {
	id      symphony.ID
	token   int64
	special bool
}

func (l leaseName) written() symphony.Token {
	b := make([]byte, 32, 49)
	hex.Encode(b, l.id[:])
	b = strconv.AppendInt(append(b, '.'), l.token, 16)
	if l.special {
		b = append(b, 'S')
	}
	return symphony.Token(b)
}

func parseToken(t symphony.Token) (l leaseName, ok bool) {
	if len(t) < 34 || t[32] != '.' {
		return l, false
	}
	if _, err := hex.Decode(l.id[:], []byte(t[:32])); err != nil {
		return l, false
	}
	number := t[33:]
	if last := len(number) - 1; number[last] == 'S' {
		number, l.special = number[:last], true
	}
	var err error
	l.token, err = strconv.ParseInt(string(number), 16, 64)
	return l, err == nil
}
