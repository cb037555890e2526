package statetest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

const clockVariable = "STATETEST_CLOCK"

// clockMachines are those that the subprocesses of the test below run.
var clockMachines = map[string]func() store.Machine{
	"looks at the year": changed(planted{apply: func(p *planted, update []byte) error {
		if string(update[:3]) == "add" {
			update = fmt.Appendf(nil, "%s-%d", update, time.Now().Year())
		}
		return p.correct(update)
	}}),
	"forgets after half an hour": changed(planted{apply: forgetful}),
	"leaves goroutines":          applies(func() { go func() { select {} }() }),
	"has a ticker":               newTicking,
	"is right":                   newCloned,
}

// newTicking returns a machine with a goroutine that has something to do every second.
func newTicking() store.Machine {
	go func() {
		for range time.NewTicker(time.Second).C {
		}
	}()
	return newCloned()
}

// forgetful is Apply of a machine that forgets all after half an hour without updates.
func forgetful(p *planted, update []byte) error {
	now := time.Now()
	if b, ok := p.kept["last"]; ok {
		var last time.Time
		if err := last.UnmarshalBinary(b); err != nil {
			return err
		}
		if now.Sub(last) > 30*time.Minute {
			clear(p.m)
		}
	}
	var err error
	if p.kept["last"], err = now.MarshalBinary(); err != nil {
		return err
	}
	return p.correct(update)
}

// TestClock is the test in the subprocess: a recorder makes no bubbles.
func TestClock(t *testing.T) {
	newMachine, ok := clockMachines[os.Getenv(clockVariable)]
	if !ok {
		t.Skip("run by TestAClockIsFound")
	}
	statetest.Run(t, newMachine, commands(1), &statetest.Options{Updates: 30, CrashStates: 1})
}

func TestAClockIsFound(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"looks at the year":          `check "Apply does not look at the clock" failed: two machines that were given the same 1 update are in different states`,
		"forgets after half an hour": "two machines that were given the same",
		"leaves goroutines":          "", "is right": "", "has a ticker": "",
	} {
		cmd := exec.CommandContext(t.Context(), path, "-test.timeout", "1m", "-test.run", "^TestClock$")
		cmd.Env = append(os.Environ(), clockVariable+"="+name)
		out, err := cmd.CombinedOutput()
		if (err != nil) != (says != "") || !strings.Contains(string(out), says) {
			t.Errorf("a machine that %s: %v\n%.3000s", name, err, out)
		}
	}
}

// Run works within a bubble.
func TestRunWithinABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		statetest.Run(t, newCloned, commands(1), &statetest.Options{Updates: 30, CrashStates: 1})
	})
}
