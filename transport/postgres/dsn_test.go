package postgres

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/symphony-messenger/symphony"
)

// A parsed is what a DSN says, as far as it can be compared.
type parsed struct {
	Schema, Host, User, Password, Database string
	Pool, Port                             int
	Pooled                                 bool
	Listen                                 string // the host
	Sign                                   string
}

const supabase = "a.pooler.supabase.com"

func parsedOf(c config) parsed {
	p := parsed{
		Schema: c.schema, Pool: c.pool, Pooled: c.pooled, Host: c.conn.Host, Port: int(c.conn.Port), User: c.conn.User,
		Password: c.conn.Password, Database: c.conn.Database, Sign: c.sign,
	}
	if c.listen != nil {
		p.Listen = c.listen.Host
	}
	return p
}

func TestParseDSN(t *testing.T) {
	base := parsed{Schema: "symphony", Pool: 10, Host: "h", Port: 5432, User: "u", Password: "p", Database: "d", Listen: "h"}
	with := func(change func(*parsed)) parsed {
		p := base
		change(&p)
		return p
	}
	for dsn, want := range map[string]parsed{
		"postgres://u:p@h/d":                                                                  base,
		"postgresql://u:p@h:5432/d":                                                           base,
		"postgres://u:p@h:6543/d":                                                             with(func(p *parsed) { p.Port, p.Pooled, p.Listen, p.Sign = 6543, true, "", "port 6543" }),
		"postgres://u:p@h:6543/d?pgbouncer=false":                                             with(func(p *parsed) { p.Port = 6543 }),
		"postgres://u:p@a.pooler.supabase.com/d":                                              with(func(p *parsed) { p.Host, p.Listen, p.Sign = supabase, supabase, "host *.pooler.supabase.com" }),
		"postgres://u:p@a.pooler.supabase.com:6543/d":                                         with(func(p *parsed) { p.Host, p.Port, p.Pooled, p.Listen, p.Sign = supabase, 6543, true, "", "port 6543" }),
		"postgres://u:p@h:6543/d?listen_dsn=postgres%3A%2F%2Fdirect%2Fd":                      with(func(p *parsed) { p.Port, p.Pooled, p.Listen, p.Sign = 6543, true, "direct", "port 6543" }),
		"postgres://u:p@pooler.supabase.com.example/d":                                        with(func(p *parsed) { p.Host, p.Listen = "pooler.supabase.com.example", "pooler.supabase.com.example" }),
		"postgres://u:p%40%2F%3F%23%3A%25@h/d":                                                with(func(p *parsed) { p.Password = "p@/?#:%" }),
		"postgres:///d?user=u&password=p&host=h&port=5432":                                    base,
		"postgres:///d?user=u&password=p&host=/run/x&port=5432":                               with(func(p *parsed) { p.Host, p.Listen = "/run/x", "/run/x" }),
		"postgres://u:p@h/d?schema=order":                                                     with(func(p *parsed) { p.Schema = "order" }),
		"postgres://u:p@h/d?schema=_9" + strings.Repeat("a", 46):                              with(func(p *parsed) { p.Schema = "_9" + strings.Repeat("a", 46) }),
		"postgres://u:p@h/d?pool=1":                                                           with(func(p *parsed) { p.Pool = 1 }),
		"postgres://u:p@h/d?pool=1000":                                                        with(func(p *parsed) { p.Pool = 1000 }),
		"postgres://u:p@h/d?pgbouncer=true":                                                   with(func(p *parsed) { p.Pooled, p.Listen, p.Sign = true, "", "option pgbouncer" }),
		"postgres://u:p@h/d?pgbouncer=false":                                                  base,
		"postgres://u:p@h/d?pgbouncer=1&listen_dsn=postgres%3A%2F%2Fdirect%2Fd":               with(func(p *parsed) { p.Pooled, p.Listen, p.Sign = true, "direct", "option pgbouncer" }),
		"postgres://u:p@h/d?listen_dsn=postgres%3A%2F%2Fu%3Ax%40direct%2Fd%3Fsslmode%3Dallow": with(func(p *parsed) { p.Listen = "direct" }),
		"postgres://u:p@h/d?listen_dsn=":                                                      base,
		"postgres://u:p@h/d?schema=a&pool=3&pgbouncer=true&sslmode=disable&application_name=x&connect_timeout=3&target_session_attrs=read-write&listen_dsn=postgres%3A%2F%2Fl": with(func(p *parsed) {
			p.Schema, p.Pool, p.Pooled, p.Listen, p.Sign = "a", 3, true, "l", "option pgbouncer"
		}),
		"postgres://u:p@h/d?schema=a&schema=b": with(func(p *parsed) { p.Schema = "b" }),
	} {
		for range 8 { // options are kept in a map
			c, err := parseDSN(dsn)
			if err != nil {
				t.Errorf("%s: %v", dsn, err)
				break
			}
			if diff := cmp.Diff(want, parsedOf(c)); diff != "" {
				t.Errorf("%s: %s", dsn, diff)
				break
			}
			for name := range c.conn.RuntimeParams {
				if name == optionSchema || name == optionPool || name == optionListenDSN || name == optionPgBouncer {
					t.Errorf("%s: the driver would send option %s to the server", dsn, name)
				}
			}
		}
	}
}

// TestParseDSNKnowsLibpq: an option of libpq that is accepted must mean something to the driver, or be a setting of the server: what is
// neither would make every connection fail.
func TestParseDSNKnowsLibpq(t *testing.T) {
	value := map[string]string{
		"port": "5432", "connect_timeout": "3", "target_session_attrs": "any", "sslmode": "disable", "sslsni": "1", "sslnegotiation": "postgres",
		"min_protocol_version": "3.0", "max_protocol_version": "3.0", "channel_binding": "prefer", "require_auth": "scram-sha-256",
		"options": "-c geqo=off", "timezone": "UTC", "statement_timeout": "1s", "lock_timeout": "1s", "search_path": "public", "host": "h",
	}
	settings := []string{"application_name", "options", "search_path", "timezone", "statement_timeout", "lock_timeout"}
	for _, name := range libpq {
		if name == "service" || name == "servicefile" || strings.HasPrefix(name, "ssl") && value[name] == "" { // files that must be there
			continue
		}
		v := value[name]
		if v == "" {
			v = "x"
		}
		c, err := parseDSN("postgres://h/d?" + name + "=" + url.QueryEscape(v))
		if err != nil {
			t.Errorf("option %s: %v", name, err)
			continue
		}
		for param := range c.conn.RuntimeParams {
			if !slices.Contains(settings, param) {
				t.Errorf("option %s would be sent to the server as the setting %s, which it does not know", name, param)
			}
		}
	}
}

func TestParseDSNRefuses(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                                                           "must begin with postgres://",
		"postgres":                                                   "must begin with postgres://",
		"postgres:/h/d":                                              "must begin with postgres://",
		"mysql://h/d":                                                "must begin with postgres://",
		"POSTGRES://h/d":                                             "must begin with postgres://",
		"host=h dbname=d":                                            "must begin with postgres://",
		"postgres://h:port/d":                                        "postgres DSN",
		"postgres://h/d?schema=":                                     "option schema",
		"postgres://h/d?schema=Upper":                                "option schema",
		"postgres://h/d?schema=9a":                                   "option schema",
		"postgres://h/d?schema=a-b":                                  "option schema",
		"postgres://h/d?schema=a.b":                                  "option schema",
		"postgres://h/d?schema=a%22b":                                "option schema",
		"postgres://h/d?schema=%C3%BC":                               "option schema",
		"postgres://h/d?schema=pg_x":                                 "option schema",
		"postgres://h/d?schema=" + longName(49):                      "option schema",
		"postgres://h/d?pool=0":                                      "option pool",
		"postgres://h/d?pool=-1":                                     "option pool",
		"postgres://h/d?pool=1001":                                   "option pool",
		"postgres://h/d?pool=ten":                                    "option pool",
		"postgres://h/d?pool=":                                       "option pool",
		"postgres://h/d?pool=99999999999999999999":                   "option pool",
		"postgres://h/d?pgbouncer=maybe":                             "option pgbouncer",
		"postgres://h/d?pgbouncer=":                                  "option pgbouncer",
		"postgres://h/d?pgbouncer":                                   "option pgbouncer",
		"postgres://h/d?shema=x":                                     `unknown option "shema"`,
		"postgres://h/d?Schema=x":                                    `unknown option "Schema"`,
		"postgres://h/d?synchronous_commit=off":                      `unknown option "synchronous_commit"`,
		"postgres://h/d?sslmode=sometimes":                           "postgres DSN",
		"postgres://h/d?connect_timeout=soon":                        "postgres DSN",
		"postgres://h/d?target_session_attrs=x":                      "postgres DSN",
		"postgres://h/d?a=%zz":                                       "options",
		"postgres://h/d?schema=a;pool=3":                             "options",
		"postgres://h/d?listen_dsn=mysql%3A%2F%2Fh":                  "option listen_dsn",
		"postgres://h/d?listen_dsn=x":                                "option listen_dsn",
		"postgres://h/d?listen_dsn=postgres%3A%2F%2Fh%3Fsslmode%3Dx": "option listen_dsn",
		"postgres://h/d?listen_dsn=postgres%3A%2F%2Fh%3A6543%2Fd":    "nobody can listen",
		"postgres://h/d?connection_limit=1":                          "pool is the number of connections",
		// One error among options that are good must not depend on which is looked at first.
		"postgres://h/d?schema=a&pool=3&pgbouncer=true&sslmode=disable&listen_dsn=postgres%3A%2F%2Fl&sslmod=x": `unknown option "sslmod"`,
		"postgres://h/d?schema=a&pool=3000&pgbouncer=true&sslmode=disable&application_name=a":                  "option pool",
		"postgres://h/d?schema=A&pool=3&pgbouncer=true&sslmode=disable&application_name=a":                     "option schema",
	} {
		for range 8 {
			c, err := parseDSN(dsn)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: accepted %v, %v; want an error with %q", dsn, err == nil, err, want)
				if err == nil {
					t.Logf("%+v", parsedOf(c))
				}
				break
			}
		}
	}
}

func longName(n int) string { return strings.Repeat("a", n) }

// TestListenDSNIsCheckedToo: an option of ours, or one that nobody knows, inside listen_dsn would be sent to the server as a setting, which
// refuses the connection: workers would poll for ever, and nobody knows why.
func TestListenDSNIsCheckedToo(t *testing.T) {
	for _, inner := range []string{"postgres://h/d?shema=x", "postgres://h/d?foo=bar", "postgres://h/d?sslmod=disable"} {
		if _, err := parseDSN("postgres://h/d?listen_dsn=" + url.QueryEscape(inner)); err == nil {
			t.Errorf("listen_dsn=%s was accepted; want an error that names the unknown option", inner)
		}
	}
}

// TestErrorsHideThePassword: whatever is wrong with a DSN, its error shows no password and no piece of one.
func TestErrorsHideThePassword(t *testing.T) {
	const a, b = "s3cr", "Et9x" // both halves of passwords that a special character cuts
	listen := func(dsn string) string { return "postgres://h/d?listen_dsn=" + url.QueryEscape(dsn) }
	cases := map[string]string{
		"a bad port":                        "postgres://u:s3crEt9x@h:port/d",
		"a bad option":                      "postgres://u:s3crEt9x@h/d?nonsense=1",
		"a bad sslmode":                     "postgres://u:s3crEt9x@h/d?sslmode=nonsense",
		"a bad timeout":                     "postgres://u:s3crEt9x@h/d?connect_timeout=x",
		"a bad schema":                      "postgres://u:s3crEt9x@h/d?schema=A",
		"a bad escape":                      "postgres://u:s3cr%zzEt9x@h/d",
		"a bad escape in the options":       "postgres://u:s3crEt9x@h/d?a=%zz",
		"a slash in it":                     "postgres://u:s3cr/Et9x@h/d",
		"a question mark in it":             "postgres://u:s3cr?Et9x@h/d",
		"a hash in it":                      "postgres://u:s3cr#Et9x@h/d",
		"an at in it":                       "postgres://u:s3cr@Et9x@h:port/d",
		"a space in it":                     "postgres://u:s3cr Et9x@h:port/d",
		"a colon in it":                     "postgres://u:s3cr:Et9x@h:port/d",
		"a bracket in it":                   "postgres://u:s3cr[Et9x@h:port/d",
		"an escaped at in it":               "postgres://u:s3cr%40Et9x@h:port/d",
		"as an option":                      "postgres://u@h/d?password=s3crEt9x&sslmode=nonsense",
		"as an option, bad port":            "postgres://u@h:port/d?password=s3crEt9x",
		"as an option, escaped":             "postgres://u@h:port/d?password=s3cr%26Et9x",
		"of the key":                        "postgres://u@h/d?sslpassword=s3crEt9x&sslmode=nonsense",
		"a control character":               "postgres://u:s3crEt9x\x01@h/d",
		"the wrong scheme":                  "mysql://u:s3crEt9x@h/d",
		"keywords":                          "host=h password=s3crEt9x",
		"listen: a bad port":                listen("postgres://u:s3crEt9x@h:port/d"),
		"listen: a bad sslmode":             listen("postgres://u:s3crEt9x@h/d?sslmode=nonsense"),
		"listen: as an option":              listen("postgres://u@h/d?password=s3crEt9x&sslmode=nonsense"),
		"listen: the wrong scheme":          listen("mysql://u:s3crEt9x@h/d"),
		"listen: keywords":                  listen("host=h password=s3crEt9x port=x"),
		"listen: keywords, quoted":          listen("host=h password='s3cr Et9x' port=x"),
		"listen: keywords, blanks":          listen("host=h password = s3crEt9x port=x"),
		"listen: a slash in it":             listen("postgres://u:s3cr/Et9x@h/d"),
		"listen: a bad escape in it":        listen("postgres://u:s3cr%zzEt9x@h/d"),
		"listen: not encoded":               "postgres://h/d?listen_dsn=postgres://u:s3crEt9x@h:port/d",
		"listen: not encoded, a bad option": "postgres://h/d?listen_dsn=postgres://u:s3crEt9x@h/d&nonsense=1",
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		for range 4 {
			c, err := parseDSN(cases[name])
			if err == nil { // then later errors name the store
				err = errors.New("open " + c.where())
			}
			if strings.Contains(err.Error(), a) || strings.Contains(err.Error(), b) {
				t.Errorf("%s: the error shows the password: %v", name, err)
				break
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), a) {
					t.Errorf("%s: a wrapped error shows the password: %v", name, e)
				}
			}
		}
	}
}

// TestConnectErrorsHideThePassword: so do errors of the connection.
func TestConnectErrorsHideThePassword(t *testing.T) {
	store, err := Open(t.Context(), "postgres://u:s3crEt9x@127.0.0.1:1/d?connect_timeout=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, err = store.Counts(t.Context())
	_, sent := store.Send(t.Context(), []*symphony.Envelope{{ID: symphony.NewID(), Type: "a", Queue: "default", Priority: 5, Body: []byte("{}")}})
	_, migrated := store.Migrate(t.Context())
	for _, err := range []error{err, sent, migrated} {
		if err == nil || strings.Contains(err.Error(), "s3cr") || !strings.Contains(err.Error(), "127.0.0.1:1/d") {
			t.Errorf("%v: want an error that names the store and shows no password", err)
		}
	}
}

// TestParseDSNKeepsDriverOptions: what is not ours reaches the driver as it was.
func TestParseDSNKeepsDriverOptions(t *testing.T) {
	c, err := parseDSN("postgres://h1:1,h2:2/d?schema=a&application_name=my%20app%26more&options=-c%20geqo%3Doff&timezone=Europe%2FVienna&pool=3")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"application_name": "my app&more", "options": "-c geqo=off", "timezone": "Europe/Vienna"}
	if diff := cmp.Diff(want, c.conn.RuntimeParams, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if len(c.conn.Fallbacks) == 0 || c.conn.Host != "h1" {
		t.Errorf("hosts: %s and %d more", c.conn.Host, len(c.conn.Fallbacks))
	}
}
