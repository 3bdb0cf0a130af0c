package symphony

import (
	"strings"
	"unicode/utf8"
)

// Limits of SEMANTICS that every transport and every way in shares.
const (
	defaultMaxBody  = 256 << 10
	largestMaxBody  = 16 << 20
	maxBatch        = 10_000
	maxBatchBytes   = 64 << 20
	maxHeaders      = 64
	maxHeaderValue  = 4 << 10
	maxHeaderBytes  = 16 << 10
	maxTags         = 16
	maxTagBytes     = 64
	maxKeyBytes     = 255
	maxContentType  = 255
	defaultQueue    = "default"
	defaultPriority = 5
)

// CheckType refuses what is no name of a message type, with an *[InvalidError].
func CheckType(name string) error {
	return check(isName(name, 128, isTypeByte), "message type", name, "[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")
}

// CheckName refuses what is no name of a queue, subscriber, transport or schedule, with an
// *[InvalidError] that says what was meant. Names are refused, never rewritten.
func CheckName(what, name string) error {
	return check(isName(name, 63, isNameByte), what, name, "[a-z0-9][a-z0-9_.-]{0,62}")
}

func isName(s string, most int, ok func(c byte, first bool) bool) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !ok(s[i], i == 0) {
			return false
		}
	}
	return true
}

func isNameByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || !first && (c == '_' || c == '.' || c == '-')
}

func isTypeByte(c byte, first bool) bool {
	return isNameByte(c, first) || c >= 'A' && c <= 'Z' || !first && (c == ':' || c == '/')
}

func checkHeader(name, value string) error {
	plain := func(c byte, first bool) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || !first && c == '-'
	}
	if !isName(name, 64, plain) {
		return invalid("header name", name, "[a-z0-9][a-z0-9-]{0,63}")
	}
	for _, prefix := range []string{"symphony-", "webhook-", "ce-"} {
		if strings.HasPrefix(name, prefix) && name != HeaderCorrelation && name != HeaderCausation {
			return invalid("header name", name, "a name that does not begin with the reserved "+prefix)
		}
	}
	if len(value) > maxHeaderValue {
		return invalid("value of header "+name, value, "at most 4 KiB")
	}
	return checkText("value of header "+name, value)
}

// checkText refuses what no store and no log can show: text that is not UTF-8, or control characters.
func checkText(what, s string) error {
	ok := utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 })
	return check(ok, what, s, "UTF-8 without control characters")
}

func checkKey(what, s string) error {
	if s == "" || len(s) > maxKeyBytes {
		return invalid(what, s, "1 to 255 bytes")
	}
	return check(utf8.ValidString(s) && !strings.Contains(s, "\x00"), what, s, "UTF-8 without NUL")
}

func checkTag(s string) error {
	if s == "" || len(s) > maxTagBytes {
		return invalid("tag", s, "1 to 64 bytes")
	}
	return checkText("tag", s)
}
