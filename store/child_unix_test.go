//go:build unix

package store_test

import (
	"os"
	"os/exec"
	"testing"
)

// childEnv tells a test that it runs in a process of its own, and what to do there.
const childEnv = "STATEIO_STORE_CHILD"

// inChild runs the test t alone in a process of its own, with task to do, and fails
// if that fails. wrap changes the command; nil: it does not.
func inChild(t *testing.T, task string, wrap func(*exec.Cmd)) (output string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(exe, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+task)
	if wrap != nil {
		wrap(cmd)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", task, err, out)
	}
	return string(out)
}
