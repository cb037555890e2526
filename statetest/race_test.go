//go:build race

package statetest_test

import (
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

const racyEnv = "STATETEST_RACY"

// A data race that spoils no snapshot is found under the race detector, which
// fails the test by itself: so the test runs in a process of its own.
func TestRaceDetectorFindsWriteToSharingMemory(t *testing.T) {
	if os.Getenv(racyEnv) != "" {
		statetest.Run(t, func() store.Machine {
			return &planted{
				cloned: cloned{map[string]string{}},
				apply: func(p *planted, update []byte) error {
					p.count++
					return p.correct(update)
				},
				snapshot: func(p *planted) (io.WriterTo, error) {
					m := maps.Clone(p.m)
					return writerTo(func(w io.Writer) error {
						p.count++
						_, err := lines(m).WriteTo(w)
						return err
					}), nil
				},
			}
		}, commands(1), &statetest.Options{Updates: 20, CrashStates: 1})
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), racyEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "DATA RACE") || strings.Contains(string(out), "\" failed") {
		t.Fatalf("the race detector has not found the race: %v\n%s", err, out)
	}
}
