package postgres

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/symphony-messenger/symphony"
)

// A leaseName is what a token says: the message, the random number of the claim that leased it, where that put it, and whether the
// message has a key or is in a group, so that its end must do more. Id and number are the fence; the place is only where to look first.
// Written, it is the id, the place and the number in hexadecimal, and an S for a message that is special.
type leaseName struct {
	id      symphony.ID
	token   int64
	place   pgtype.TID
	special bool
}

func (l leaseName) written() symphony.Token {
	b := make([]byte, 32, 64)
	hex.Encode(b, l.id[:])
	b = strconv.AppendUint(append(b, '.'), uint64(l.place.BlockNumber)<<16|uint64(l.place.OffsetNumber), 16)
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
	place, number, ok := strings.Cut(string(t[33:]), ".")
	if !ok {
		return l, false
	}
	number, l.special = strings.CutSuffix(number, "S")
	var err1 error
	l.token, err1 = strconv.ParseInt(number, 16, 64)
	at, err2 := strconv.ParseUint(place, 16, 48)
	l.place = pgtype.TID{BlockNumber: uint32(at >> 16), OffsetNumber: uint16(at), Valid: true}
	return l, err1 == nil && err2 == nil
}
