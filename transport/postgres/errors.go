package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/symphony-messenger/symphony"
)

var errClosed = errors.New("the transport is closed")

// explain adds to an error of the driver which of the errors that callers test for it is.
func explain(err error) error {
	kind := error(nil)
	switch code := codeOf(err); {
	case code == "3F000" || code == "42P01" || code == "42883" || code == "42704" || code == "42703": // schema, table, function, type, column
		if e, _ := errors.AsType[*pgconn.PgError](err); strings.Contains(e.Message, "messenger_") || strings.Contains(e.Message, "clock()") || code == "3F000" {
			kind = symphony.ErrNotMigrated
		}
	case code == "42501":
		return fmt.Errorf("%w (the user of the database needs a role such as symphony_worker, see docs/postgresql.md)", err)
	case code == "53100":
		kind = symphony.ErrStoreFull
	case code == "25006":
		kind = symphony.ErrStoreReadOnly
	case code == "55P03":
		kind = symphony.ErrStoreBusy
	}
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// codeOf returns the SQLSTATE of an error, "" when the server did not answer.
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// isData reports whether err is about the rows themselves, so that other rows may still be written: a value or a
// constraint that the server refused, or one that the driver could not encode.
func isData(err error) bool {
	code := codeOf(err)
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23") || code == "54000" || unencodable(err)
}

// unencodable reports whether an argument could not be sent. The driver has no type for that.
func unencodable(err error) bool {
	return errors.Is(err, errEncode) || strings.Contains(err.Error(), "failed to encode args") || strings.Contains(err.Error(), "unable to encode")
}

// isStored reports whether the server refused messages because one of them, or of their copies, is there already.
func isStored(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23505" && e.ConstraintName == "messenger_messages_pkey"
}

// isOwn reports whether err may be about one of the messages of a flush only.
func isOwn(err error) bool { return isData(err) || codeOf(err) == "55P03" }

// A notSent is an error before a statement that changes anything was sent.
type notSent struct{ error }

func (e notSent) Unwrap() error { return e.error }

var errEncode = errors.New("cannot be encoded")

// conflicts reports whether the server rolled a transaction back because of another one: it may be repeated at once.
func conflicts(err error) bool {
	code := codeOf(err)
	return code == "40001" || code == "40P01"
}

// cutShort reports whether the server ended a statement because it took too long by the settings of the role or the database. Nothing of it
// was done, and on a busy server it may be quicker the next time.
func cutShort(err error) bool { return codeOf(err) == "57014" }

// passes reports whether err is about the connection or the state of the server, so that the same statement may succeed a moment
// later.
func passes(err error) bool {
	code := codeOf(err)
	switch {
	case code == "":
		return !unencodable(err) && !errors.Is(err, errClosed) && !errors.Is(err, symphony.ErrNotMigrated) && !errors.Is(err, symphony.ErrSchemaTooNew)
	case endsConnection(code) || conflicts(err) || cutShort(err):
		return true
	}
	return code == "57P03" || code == "53300" || code == "25006" // starting or stopping; too many connections; a standby
}

// endsConnection reports whether the server ended the connection, whatever was under way.
func endsConnection(code string) bool {
	return code == "57P01" || code == "57P02" || code == "57P05" || strings.HasPrefix(code, "08") || strings.HasPrefix(code, "XX")
}

// unanswered reports whether err leaves open what became of a statement.
func unanswered(err error) bool {
	if err == nil || pgconn.SafeToRetry(err) || !passes(err) {
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false
	}
	if _, ok := errors.AsType[notSent](err); ok {
		return false
	}
	code := codeOf(err)
	return code == "" || endsConnection(code)
}

// ended returns the error of a call whose ctx has ended, else err.
func ended(ctx context.Context, err error) error {
	if cause := ctx.Err(); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
