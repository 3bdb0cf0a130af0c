package config

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// An Origin is where a value comes from. The zero Origin is the default.
type Origin struct {
	File         string // path of the configuration file
	Line, Column int    // in it, from 1
	Variable     string // of the environment
	Flag         string // such as --dsn
	Expanded     bool   // it had a ${VARIABLE} in it
}

// String says it in a few words: symphony.yaml:3:5, SYMPHONY_DSN, --dsn, default.
func (o Origin) String() string {
	switch {
	case o.Flag != "":
		return o.Flag
	case o.Variable != "":
		return o.Variable
	case o.Line > 0:
		return fmt.Sprintf("%s:%d:%d", o.File, o.Line, o.Column)
	case o.File != "":
		return o.File
	}
	return "default"
}

// MarshalJSON writes it as String does.
func (o Origin) MarshalJSON() ([]byte, error) { return json.Marshal(o.String()) }

// MaskDSN is a DSN that may be shown: without its password, and without the values of options that may
// be one. Of a DSN that cannot be read, only the scheme is left.
func MaskDSN(dsn string) string {
	const mask = "***"
	scheme, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return "…"
	}
	if rest == "" {
		return dsn
	}
	u, err := url.Parse(dsn)
	if err != nil || strings.Contains(u.Host, ",") && u.User == nil && strings.Contains(dsn, "@") {
		return scheme + "://…"
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), mask)
	}
	pairs := strings.Split(u.RawQuery, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if value == "" {
			continue
		}
		if plain == "listen_dsn" && err == nil {
			if inner, err := url.QueryUnescape(value); err == nil && strings.Contains(inner, "://") {
				pairs[i] = name + "=" + strings.ReplaceAll(url.QueryEscape(MaskDSN(inner)), "%2A", "*")
				continue
			}
		}
		if err != nil || plain == "listen_dsn" || strings.Contains(plain, "pass") || strings.Contains(plain, "secret") || strings.Contains(plain, "token") {
			pairs[i] = name + "=" + mask
		}
	}
	u.RawQuery = strings.Join(pairs, "&")
	return strings.ReplaceAll(u.String(), "%2A%2A%2A", mask)
}
