package proof

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symphony-messenger/symphony"
)

// A field is where a hostile value is put.
type field string

// The fields.
const (
	bodyJSON    field = "body as JSON"
	bodyBytes   field = "body as bytes"
	contentType field = "content type"
	typeName    field = "type"
	queueName   field = "queue"
	headerName  field = "header name"
	headerValue field = "header value"
	tagText     field = "tag"
	keyText     field = "key"
	groupText   field = "group"
	errorText   field = "error"
)

func fields() []field {
	return []field{bodyJSON, bodyBytes, contentType, typeName, queueName, headerName, headerValue, tagText, keyText, groupText, errorText}
}

// hostile are values that have broken stores, shells, terminals and parsers.
func hostile() []string {
	long := func(n int) string { return strings.Repeat("a", n) }
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	return slices.Concat(
		// What no text is, or some take for none.
		[]string{
			"", " ", "\x00", "a\x00b", "\xff", "a\xffb", "\xc3\x28", "\xed\xa0\x80", "\xed\xb0\x80", "\xc0\xaf", "\xf4\x90\x80\x80", "\xe2\x82",
			"\xff\xfe\x00\x00", "\xef\xbb\xbf{}",
		},
		// What means something to somebody on the way.
		[]string{
			"'", "\"", "\\", "'; drop table messenger_messages; --", "$1", "$$", "$body$", "E'\\x00'", "\\x6869", "{}", "[]", "null", "NULL", "{a,b}", "{NULL}", "(,)",
			"%s%n%x", "{{7*7}}", "${HOME}", "$(id)", "`id`", "../../etc/passwd", "<script>alert(1)</script>", "a=b", "a,b", "a:b", "a/b", "-", "--help", "@/etc/passwd", "*", "?",
		},
		// What looks like something else, or breaks a line.
		[]string{
			"\n", "a\nb", "\r\n", "\t", "\x1b[31mred", "\x7f", "\u0085", "\u2028", "\u202eevil", "\u200b", "\ufeff", "\ufffe", "\U0010ffff", "\ufffd", "é", "e\u0301", "İ", "ß",
			"ＡＢＣ", "👩‍👩‍👧", "日本語", "العربية", "a b", " a", "a ", "A", "_a", ".a", "0",
		},
		// What is at a limit.
		[]string{
			long(63), long(64), long(65), long(128), long(129), long(255), long(256), long(4096), long(4097), strings.Repeat("ä", 127), strings.Repeat("ä", 128), long(16 << 10),
			long(256<<10 + 1), `"` + long(256<<10-2) + `"`,
		},
		// JSON that some refuse, and some change. Deeper than 1,000 SQLite shows none, and deeper than 10,000 Go takes none.
		[]string{
			`{"a":1,"a":2}`, `{ "b" : 1 , "a" : 2 }`, `{"a":"\u0000"}`, `{"a":"\ud800"}`, `{"a":"\ud83d\ude00"}`, `1e400`, `-0`, `1.0`, `12345678901234567890123`, `0.1e-400`,
			`{"__proto__":{}}`, `"<\u003c>"`, `[1,]`, `{"a":1}x`, `{'a':1}`, `NaN`, `01`, "{\"a\":\"\xff\"}", "\"\u2028\"", `true `, nested(100), nested(1000),
		},
	)
}

// An input is one hostile value in one place of a message that is harmless else.
type input struct {
	field field
	value string
}

func (in input) String() string {
	return fmt.Sprintf("%s %.60q (%d bytes)", in.field, in.value, len(in.value))
}

// corpus is every hostile value in every place.
func corpus() (all []input) {
	for _, f := range fields() {
		for _, v := range hostile() {
			all = append(all, input{f, v})
		}
	}
	return all
}

// message is what is to be dispatched. Type and queue of the harmless are those of no other message.
func (in input) message() (symphony.Raw, []symphony.Stamp) {
	m := symphony.Raw{Type: "hostile", Body: []byte("{}")}
	switch in.field {
	case bodyJSON:
		m.Body = []byte(in.value)
	case bodyBytes:
		m.ContentType, m.Body = "application/octet-stream", []byte(in.value)
	case contentType:
		m.ContentType = in.value
	case typeName:
		m.Type = in.value
	case queueName:
		return m, []symphony.Stamp{symphony.Queue(in.value)}
	case headerName:
		return m, []symphony.Stamp{symphony.Header(in.value, "value")}
	case headerValue:
		return m, []symphony.Stamp{symphony.Header("name", in.value)}
	case tagText:
		return m, []symphony.Stamp{symphony.Tag(in.value, "second")}
	case keyText:
		return m, []symphony.Stamp{symphony.IdempotencyKey(in.value, 0)}
	case groupText:
		return m, []symphony.Stamp{symphony.Group(in.value)}
	}
	return m, nil
}
