package pgserver_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/symphony-messenger/symphony/internal/pgserver"
)

// TestOwnerKilled: a server ends with the process that started it, while sessions compute, and its folder
// is removed by the next one that starts a server.
func TestOwnerKilled(t *testing.T) {
	dir := shelf(t)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), childVariable+"="+dir)
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pid, backend int
	_, scanErr := fmt.Fscanln(bufio.NewReader(out), &pid, &backend)
	running := alive(pid) && alive(backend)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // it was killed
	if scanErr != nil || !running {
		t.Fatalf("server %d and session %d run: %t, error %v", pid, backend, running, scanErr)
	}
	eventually(t, "server and session have ended", func() bool { return gone(pid) && gone(backend) })

	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("folders of the killed process: %v, error %v; want one", left, err)
	}
	start(t, pgserver.Config{Dir: dir}) // and when it has stopped, nothing is left: see shelf
	if _, err := os.Stat(left[0]); !os.IsNotExist(err) {
		t.Errorf("the folder of the killed process: error %v", err)
	}
}

// gone is true for the remains of a process, too: whoever inherited it may never ask how it ended.
func gone(pid int) bool {
	var state string
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d (postgres) %s", &pid, &state)
	}
	return err != nil || state == "Z"
}
