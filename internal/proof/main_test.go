package proof

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symphony-messenger/symphony"
	"github.com/symphony-messenger/symphony/internal/pgtest"
	"github.com/symphony-messenger/symphony/transport/postgres"
	"github.com/symphony-messenger/symphony/transport/sqlite"
)

// The full runs have flags; make proof has the figures.
var (
	signals = flag.Int("signals", 5, "how often TestStopBySignal stops the program, on each store")
	starts  = flag.Int("starts", 20, "how often TestStartAndStop starts a worker and a transport, on each store")
	every   = flag.Int("every", 40, "which part of the hostile inputs goes through the command line: every so manieth; 1: all")
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// A store is one with a DSN, empty and migrated.
type store struct {
	symphony.Transport
	dsn string
}

// Unwrap lets [symphony.As] find the other powers of the transport.
func (s store) Unwrap() symphony.Transport { return s.Transport }

// eachStore runs do on every store that has a DSN.
func eachStore(t *testing.T, do func(t *testing.T, s store)) {
	t.Run("sqlite", func(t *testing.T) {
		dsn := "sqlite://" + filepath.Join(t.TempDir(), "proof.db")
		do(t, store{openStore(t, dsn), dsn})
	})
	t.Run("postgres", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		do(t, store{openStore(t, dsn), dsn})
	})
}

// openStore returns a store that is closed when the test ends.
func openStore(t *testing.T, dsn string) symphony.Transport {
	t.Helper()
	s, err := open(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// An opened transport is to be closed.
type opened struct {
	symphony.Transport
	io.Closer
}

// Unwrap lets [symphony.As] find the other powers of the transport.
func (o opened) Unwrap() symphony.Transport { return o.Transport }

func open(t *testing.T, dsn string) (opened, error) {
	t.Helper()
	if strings.HasPrefix(dsn, "sqlite:") {
		s, err := sqlite.Open(t.Context(), dsn, nil)
		if err == nil {
			_, err = s.Migrate(t.Context())
		}
		return opened{s, s}, err
	}
	s, err := postgres.Open(t.Context(), dsn, nil)
	if err == nil {
		_, err = s.Migrate(t.Context())
	}
	return opened{s, s}, err
}
