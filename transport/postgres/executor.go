package postgres

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// An executor runs a statement, on a connection of ours or in a transaction of the caller's, and calls each for
// every row.
type executor interface {
	query(ctx context.Context, text string, args []any, each func(scan scanner) error) error
}

type scanner func(dest ...any) error

// A querier is a pool, a connection or a transaction of pgx.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

type native struct{ querier }

func (n native) query(ctx context.Context, text string, args []any, each func(scan scanner) error) error {
	rows, err := n.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// A textual is a transaction of pgx on a connection that does not ask the server for the types of arguments.
type textual struct{ native }

func (t textual) query(ctx context.Context, text string, args []any, each func(scan scanner) error) error {
	text, plain, err := texts(text, args)
	if err != nil {
		return err
	}
	return t.native.query(ctx, text, plain, each)
}

// inTx returns how to run statements in a transaction of the caller's.
func inTx(tx pgx.Tx) executor {
	switch tx.Conn().Config().DefaultQueryExecMode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol:
		return textual{native{tx}}
	}
	return native{tx}
}

// A standard is a transaction of package database/sql, whatever its driver: arrays go as text, which all of them
// take.
type standard struct{ tx *sql.Tx }

func (s standard) query(ctx context.Context, text string, args []any, each func(scan scanner) error) error {
	text, plain, err := texts(text, args)
	if err != nil {
		return err
	}
	rows, err := s.tx.QueryContext(ctx, text, plain...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// texts returns a statement and its arguments for a connection that is told no types. Arrays with nulls become JSON: what NULL means in
// the text of an array is a setting of the caller's session, array_nulls.
func texts(text string, args []any) (string, []any, error) {
	plain := make([]any, len(args))
	withNulls := make(map[string]bool) // numbers of arguments
	for i, arg := range args {
		var err error
		switch arg.(type) {
		case []*string, []*int64, []*time.Time:
			var list []byte
			list, err = json.Marshal(arg)
			plain[i] = string(list)
			withNulls[strconv.Itoa(i+1)] = true
		default:
			plain[i], err = arrayText(arg)
		}
		if err != nil {
			return "", nil, err
		}
	}
	if len(withNulls) == 0 {
		return text, plain, nil
	}
	return arrayParameter.ReplaceAllStringFunc(text, func(parameter string) string {
		part := arrayParameter.FindStringSubmatch(parameter)
		if !withNulls[part[1]] {
			return parameter
		}
		return fmt.Sprintf("array(select e.value::pg_catalog.%s from pg_catalog.json_array_elements_text($%s::pg_catalog.json) e)", part[2], part[1])
	}), plain, nil
}

// arrayParameter is one in statements that run in callers' transactions.
var arrayParameter = regexp.MustCompile(`\$(\d+)::pg_catalog\.(\w+)\[\]`)

// arrayText returns an array as PostgreSQL writes it (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO), and
// what is none as it is.
func arrayText(arg any) (any, error) {
	switch a := arg.(type) {
	case [][16]byte:
		return list(a, func(v [16]byte) string { return hex.EncodeToString(v[:]) }), nil
	case [][]byte:
		return list(a, func(v []byte) string { return `"\\x` + hex.EncodeToString(v) + `"` }), nil
	case []string:
		return list(a, quote), nil
	case []int16:
		return list(a, func(v int16) string { return strconv.Itoa(int(v)) }), nil
	case []int64:
		return list(a, func(v int64) string { return strconv.FormatInt(v, 10) }), nil
	case nil, int64, int, string, bool:
		return arg, nil
	}
	return nil, fmt.Errorf("an argument of type %T %w", arg, errEncode)
}

func list[T any](values []T, text func(T) string) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = text(v)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
