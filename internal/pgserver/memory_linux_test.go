package pgserver_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// TestKilledMemory: the shared memory of a killed server does not stay in the system.
func TestKilledMemory(t *testing.T) {
	s := start(t, pgserver.Config{})
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	segment := string(regexp.MustCompile(`/dev/shm/PostgreSQL\.[0-9]+`).Find(maps))
	s.Kill()
	if _, err := os.Stat(segment); err != nil {
		t.Fatalf("the killed server has left no memory, the test tests nothing: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(segment); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Stop %s: error %v, want that it is gone", segment, err)
	}
}
