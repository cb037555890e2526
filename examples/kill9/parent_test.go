package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// asServer has servers that the test starts be the program.
func asServer(t *testing.T) { t.Setenv(asProgram, "1") }

// runParent runs a parent until the test ends, or end is called, which returns its error.
func runParent(t *testing.T, dir string, writers int) (p *parent, end func() error) {
	t.Helper()
	asServer(t)
	p = newParent(dir, writers)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.run(ctx) }()
	ended := false
	end = func() error {
		ended = true
		cancel()
		return <-ran
	}
	t.Cleanup(func() {
		if !ended {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
	return p, end
}

// serving returns the server that serves.
func (p *parent) serving(t *testing.T) *child {
	t.Helper()
	c, err := p.server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// work waits until n more entries were acknowledged.
func waitForEntries(t *testing.T, p *parent, n uint64) {
	t.Helper()
	begin, _, _ := p.memory.sums()
	waitUntil(t, "more entries", func() bool { acked, _, _ := p.memory.sums(); return acked >= begin+n })
}

// Round after round, all that was acknowledged is there, on the same port.
func TestKillsLoseNothing(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	p, _ := runParent(t, t.TempDir(), 16)
	c := p.serving(t)
	for round := range rounds {
		waitForEntries(t, p, uint64(50+100*round))
		k, err := p.kill(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if k.Lost != 0 || k.Wrong != 0 || k.N != round+1 || k.PID != c.PID || k.Acked == 0 || k.Back <= 0 || k.Took <= 0 {
			t.Fatalf("%+v, of the server with pid %d", k, c.PID)
		}
		next := p.serving(t)
		if next.PID == c.PID || next.address != c.address {
			t.Fatalf("pid %d at %s after pid %d at %s", next.PID, next.address, c.PID, c.address)
		}
		c = next
	}
	if err := p.loss(); err != nil {
		t.Error(err)
	}
}

// A server that is killed by anybody else is started again, too.
func TestKilledFromElsewhere(t *testing.T) {
	p, _ := runParent(t, t.TempDir(), 4)
	waitForEntries(t, p, 20)
	c := p.serving(t)
	process, err := os.FindProcess(c.PID)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "another server", func() bool { s := p.state(); return s.Killed == 1 && s.PID != 0 && s.PID != c.PID })
	if k := p.state().Kills[0]; k.PID != c.PID || k.Lost != 0 || k.Wrong != 0 || k.Back <= 0 {
		t.Errorf("%+v", k)
	}
}

// Servers that are killed while they start, and before they were compared, are followed by
// another one: people press twice.
func TestKilledWhileAKillIsLookedInto(t *testing.T) {
	p, _ := runParent(t, t.TempDir(), 4)
	waitForEntries(t, p, 20)
	c := p.serving(t)
	deaths := filepath.Join(t.TempDir(), "deaths")
	t.Setenv(deathsFile, deaths)
	t.Setenv(asProgram, "mortal")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	k, err := p.kill(ctx)
	if err != nil || k.N != 1 || k.PID != c.PID || k.Lost != 0 || k.Wrong != 0 {
		t.Errorf("%+v, %v", k, err)
	}
	if b, err := os.ReadFile(deaths); len(b) != 2 {
		t.Errorf("%d servers were killed meanwhile, %v: this tests nothing", len(b), err)
	}
	waitForEntries(t, p, 20)
}

// Entries that a server acknowledged and does not have after a kill are lost, and told.
func TestLossIsFound(t *testing.T) {
	asServer(t)
	dir := t.TempDir()
	p := newParent(dir, 3)
	c, err := startChild(dir, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	worked := make(chan error, 1)
	go func() { worked <- p.work(t.Context(), c) }()
	waitForEntries(t, p, 30)
	if err := c.kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-worked; err != nil {
		t.Fatal(err)
	}
	acked, _, _ := p.memory.sums()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	again, err := p.restart(c)
	if err != nil {
		t.Fatal(err)
	}
	defer again.stop()
	if err := p.check(t.Context(), c, again); err != nil {
		t.Fatal(err)
	}
	if k := p.state().Kills[0]; k.Lost != acked {
		t.Errorf("of %d entries, %d are lost", acked, k.Lost)
	}
	if p.loss() == nil {
		t.Error("that is no error")
	}
}

// Should somebody have taken the port of a server, it comes back at another one.
func TestThePortOfAServerMayBeTaken(t *testing.T) {
	asServer(t)
	p := newParent(t.TempDir(), 0)
	c, err := startChild(p.dir, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again, err := p.restart(c)
	if err != nil {
		t.Fatal(err)
	}
	defer again.stop()
	if found, err := again.accounts(t.Context()); err != nil || again.address == c.address {
		t.Errorf("at %s after %s: %v, %v", again.address, c.address, found, err)
	}
}

// What an earlier run has left counts as there, not as acknowledged.
func TestAnEarlierRunIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	first, end := runParent(t, dir, 4)
	waitForEntries(t, first, 20)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	p, _ := runParent(t, dir, 4)
	waitForEntries(t, p, 20)
	k, err := p.kill(t.Context())
	if err != nil || k.Lost != 0 || k.Wrong != 0 {
		t.Errorf("%+v, %v", k, err)
	}
}
