package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Options of a DSN that are ours. They are taken out before the driver sees it.
const (
	optionSchema    = "schema"
	optionPool      = "pool"
	optionListenDSN = "listen_dsn"
	optionPgBouncer = "pgbouncer"
)

// libpq lists the options of a DSN that the driver knows. Everything else it would send to the server as a setting: a
// misspelt option must be an error that names it instead.
var libpq = []string{
	"host", "port", "user", "password", "dbname", "database", "passfile", "connect_timeout", "application_name", "target_session_attrs", "options",
	"sslmode", "sslcert", "sslkey", "sslrootcert", "sslpassword", "sslsni", "sslnegotiation", "min_protocol_version", "max_protocol_version",
	"channel_binding", "require_auth", "krbspn", "krbsrvname", "service", "servicefile", "search_path", "timezone", "statement_timeout", "lock_timeout",
}

// A config is what a DSN says.
type config struct {
	schema string
	pool   int             // connections for the caller's transactions
	conn   *pgx.ConnConfig // of all pools
	listen *pgx.ConnConfig // of the connection that is told of new messages; nil: there is none, polling must do
	pooled bool            // a pooler in transaction mode stands between us and the server: nothing may need a session
	sign   string          // by which a pooler was recognised; "": none was
}

// How a pooler is recognised of which the DSN says nothing. Supabase's has this port for its transaction mode; its session mode is
// at the port of PostgreSQL, with the same name.
const (
	poolerPort = 6543
	poolerName = ".pooler.supabase.com"
)

// recognise looks for a pooler, and believes what the DSN says of one.
func (c *config) recognise(said bool) {
	switch {
	case said && c.pooled:
		c.sign = "option " + optionPgBouncer
	case said:
	case c.conn.Port == poolerPort:
		c.pooled, c.sign = true, fmt.Sprint("port ", poolerPort)
	case strings.HasSuffix(c.conn.Host, poolerName):
		c.sign = "host *" + poolerName
	}
}

const (
	defaultSchema = "symphony"
	defaultPool   = 10
)

// parseDSN reads postgres://user:password@host:port/database with options. Its errors show no password.
func parseDSN(dsn string) (config, error) {
	c := config{schema: defaultSchema, pool: defaultPool}
	scheme, rest, ok := strings.Cut(dsn, "://")
	if !ok || scheme != "postgres" && scheme != "postgresql" {
		return c, errors.New("postgres DSN: must begin with postgres://")
	}
	where, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return c, fmt.Errorf("postgres DSN: options: %w", hidePassword(err, dsn))
	}
	listen, said := values.Get(optionListenDSN), values.Has(optionPgBouncer)
	for name, list := range values {
		ours, err := c.set(name, list[len(list)-1])
		if err != nil {
			return c, fmt.Errorf("postgres DSN: %w", hidePassword(err, dsn))
		}
		if ours {
			values.Del(name)
		}
	}
	// The driver does not read + as a blank.
	if c.conn, err = parseConn(scheme + "://" + where + "?" + strings.ReplaceAll(values.Encode(), "+", "%20")); err != nil {
		return c, err
	}
	c.recognise(said)
	switch {
	case listen != "":
		if c.listen, err = parseListen(listen); err != nil {
			return c, fmt.Errorf("option %s: %w", optionListenDSN, hidePassword(err, listen))
		}
	case !c.pooled:
		c.listen = c.conn.Copy()
	}
	return c, nil
}

// parseListen reads a DSN that has none of our options.
func parseListen(dsn string) (*pgx.ConnConfig, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if _, query, _ := strings.Cut(dsn, "?"); query != "" {
		values, _ := url.ParseQuery(query) // read above
		for _, name := range []string{optionSchema, optionPool, optionListenDSN, optionPgBouncer} {
			if values.Has(name) {
				return nil, fmt.Errorf("%s has no meaning there", name)
			}
		}
	}
	if c.pooled {
		return nil, fmt.Errorf("%s is that of a pooler in transaction mode, through which nobody can listen", c.sign)
	}
	return c.conn, nil
}

// set takes an option if it is one of ours.
func (c *config) set(name, value string) (ours bool, err error) {
	switch name {
	case optionSchema:
		c.schema = value
		return true, checkSchema(value)
	case optionPool:
		if c.pool, err = strconv.Atoi(value); err != nil || c.pool < 1 || c.pool > 1000 {
			return true, fmt.Errorf("option %s=%.20q: must be a number of connections, 1 to 1000", name, value)
		}
		return true, nil
	case optionListenDSN:
		return true, nil
	case optionPgBouncer:
		if c.pooled, err = strconv.ParseBool(value); err != nil {
			return true, fmt.Errorf("option %s=%.20q: must be true or false", name, value)
		}
		return true, nil
	}
	if name == "connection_limit" || name == "pool_timeout" { // of DSNs for Prisma
		return false, fmt.Errorf("unknown option %s: %s is the number of connections", name, optionPool)
	}
	if !slices.Contains(libpq, name) {
		return false, fmt.Errorf("unknown option %.50q: ours are %s, %s, %s and %s, the others are those of libpq",
			name, optionSchema, optionPool, optionListenDSN, optionPgBouncer)
	}
	return false, nil
}

// parseConn lets the driver read a DSN. Its errors quote what it could not read, which may be a password.
func parseConn(dsn string) (*pgx.ConnConfig, error) {
	conn, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres DSN: %w", hidePassword(err, dsn))
	}
	return conn, nil
}

// hidePassword drops the text of err when it shows a part of what may be the password of dsn: one with characters that must be
// percent-encoded ends up in all sorts of places.
func hidePassword(err error, dsn string) error {
	_, rest, _ := strings.Cut(dsn, "://")
	at := strings.LastIndex(rest, "@")
	_, password, has := strings.Cut(rest[:max(at, 0)], ":")
	if !has {
		return err
	}
	for _, part := range strings.FieldsFunc(password, func(r rune) bool { return strings.ContainsRune("/?#@&=:% ", r) }) {
		if len(part) > 2 && strings.Contains(err.Error(), part) {
			return errors.New("it cannot be read; characters such as / ? # @ in a password must be percent-encoded")
		}
	}
	return err
}

// checkSchema refuses names that would have to be cut: that of the channel for waking is longer.
func checkSchema(name string) error {
	ok := name != "" && len(name) <= 48 && !strings.HasPrefix(name, "pg_")
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("option %s=%.60q: must be [a-z_][a-z0-9_]{0,47} and not begin with pg_", optionSchema, name)
	}
	return nil
}
