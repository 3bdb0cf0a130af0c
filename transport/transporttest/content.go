package transporttest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/symphony-messenger/symphony"
)

func contentTests() []test {
	return []test{
		{
			"content/bytes", "The bytes you sent are the bytes delivered. Bodies are never re-encoded. (promise 7)",
			0, contentBytes,
		},
		{
			"content/fields", "A delivered envelope says of the message what the sent one said. (Envelope)",
			0, contentFields,
		},
		{
			"content/set by the store", "CreatedAt, Attempt, Crashes and Fence are set by the store, on delivery; Message is nil inside a transport. (Envelope)",
			0, contentOfStore,
		},
	}
}

// bodies are what stores and drivers have damaged.
func bodies() map[string][]byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	random := rand.NewChaCha8([32]byte{1})
	large := make([]byte, 256<<10)
	_, _ = random.Read(large)
	return map[string][]byte{
		"nil":                           nil,
		"empty":                         {},
		"one NUL":                       {0},
		"NULs around text":              []byte("\x00a\x00b\x00"),
		"all byte values":               all,
		"invalid UTF-8":                 []byte("\xff\xfe\xc3\x28\xed\xa0\x80"),
		"a lone surrogate in JSON":      []byte(`{"a":"\ud800"}`),
		"an escaped NUL in JSON":        []byte(`{"a":"\u0000"}`),
		"JSON with its spaces":          []byte("{ \"b\" : 1.0 ,\n\t\"a\":1e2, \"a\" : 2 }\n"),
		"a number no float can hold":    []byte(`12345678901234567890.12345678901234567890`),
		"escapes that need not be":      []byte(`"\u0041\/<>&"`),
		"no JSON, called JSON":          []byte("{"),
		"a quote, a backslash, SQL":     []byte(`'"\'; drop table messages; --`),
		"a byte order mark":             []byte("\xef\xbb\xbf{}"),
		"256 KiB of random bytes":       large,
		"256 KiB of the same character": bytes.Repeat([]byte("x"), 256<<10),
		"line ends of every kind":       []byte("a\r\nb\rc\nd\u2028e"),
		"a hexadecimal literal":         []byte(`\x414243`),
	}
}

func contentBytes(k *kit) {
	var envs []*symphony.Envelope
	of := make(map[symphony.ID]string)
	for name, body := range bodies() {
		env := message(func(e *symphony.Envelope) { e.Body = body })
		of[env.ID] = name
		envs = append(envs, env)
	}
	k.send(envs...)
	for _, delivery := range []string{"first", "second"} {
		for i, d := range k.takeOnly("w", envs...) {
			if !bytes.Equal(d.Envelope.Body, envs[i].Body) {
				k.Errorf("%s delivery: the body %q came as %.60q, want %.60q", delivery, of[envs[i].ID], d.Envelope.Body, envs[i].Body)
			}
			k.settle(verdict(d, symphony.Retried))
		}
	}
}

func contentFields(k *kit) {
	caps := k.Transport.Capabilities()
	many := make(map[string]string)
	for i := range 64 {
		many[fmt.Sprintf("h-%d", i)] = strings.Repeat("v", 100)
	}
	zero, seven := 0, 7
	var envs []*symphony.Envelope
	for i, change := range []func(*symphony.Envelope){
		func(*symphony.Envelope) {},
		func(e *symphony.Envelope) { e.Type, e.ContentType = "A/b:c_D.e-f", "application/octet-stream" },
		func(e *symphony.Envelope) { e.Version, e.ContentType = 12, "" },
		func(e *symphony.Envelope) { e.Subscriber = "audit" },
		func(e *symphony.Envelope) { e.MaxRetries = &zero },
		func(e *symphony.Envelope) { e.MaxRetries = &seven },
		func(e *symphony.Envelope) { e.Headers = map[string]string{"empty": "", "text": `ü "q" \ 漢 😀`} },
		func(e *symphony.Envelope) { e.Headers = many },
		func(e *symphony.Envelope) { e.Tags = []string{"zeta", "alpha", `a,b{"c"}`, "alpha"} },
		func(e *symphony.Envelope) { e.Headers = map[string]string{symphony.HeaderCorrelation: "x"} },
	} {
		env := message(change)
		if caps.Group {
			env.Group = fmt.Sprintf("Grüppe %d", i)
		}
		envs = append(envs, env)
	}
	k.send(envs...)
	for i, d := range k.takeOnly("w", envs...) {
		got, want := *d.Envelope, *envs[i]
		equal(k, "Type", got.Type, want.Type)
		equal(k, "Version", got.Version, want.Version)
		equal(k, "Subscriber", got.Subscriber, want.Subscriber)
		equal(k, "ContentType", got.ContentType, want.ContentType)
		equal(k, "Queue", got.Queue, want.Queue)
		equal(k, "Group", got.Group, want.Group)
		equal(k, "Priority", got.Priority, want.Priority)
		equal(k, "MaxRetries", got.MaxRetries, want.MaxRetries)
		if len(want.Headers) > 0 || len(got.Headers) > 0 {
			equal(k, "Headers", got.Headers, want.Headers)
		}
		if !slices.Equal(got.Tags, want.Tags) {
			k.Errorf("Tags are %q, want %q", got.Tags, want.Tags)
		}
	}
}

func contentOfStore(k *kit) {
	env := message(func(e *symphony.Envelope) {
		e.CreatedAt, e.Attempt, e.Crashes, e.Fence = time.Unix(1, 0), 5, 6, 7
	})
	k.send(env)
	got := k.take("w").Envelope
	equal(k, "Attempt", got.Attempt, 1)
	equal(k, "Crashes", got.Crashes, 0)
	equal(k, "Fence", got.Fence, int64(1))
	if got.Message != nil {
		k.Errorf("Message is %v, want nil", got.Message)
	}
	if age := time.Since(got.CreatedAt); age < -time.Minute || age > time.Minute {
		k.Errorf("CreatedAt is %v, want about now", got.CreatedAt)
	}
}
