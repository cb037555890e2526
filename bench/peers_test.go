//go:build !nopeers

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

func TestCommandsWithPeers(t *testing.T) {
	grouped, single := []string{"store", "bound", "pebble", "badger", "bbolt", "sqlite", "buntdb"}, []string{"store", "bound", "etcd wal", "raft-wal", "tidwall/wal", "pebble", "badger", "bbolt", "sqlite", "buntdb"}
	if last := engine.Present(engine.All()); last[len(last)-1].Name == "redis" {
		grouped, single = append(grouped, "redis"), append(single, "redis")
	}
	testCommands(t, []commandTest{
		{"commit -rounds 1 -time 10ms -goroutines 2", grouped},
		{"commit -rounds 1 -time 10ms -goroutines 1 -only pebble", []string{"store", "pebble"}},
		{"commit -rounds 1 -time 10ms -goroutines 1", single},
	})
}

// A short run of all engines fails in no part, and none of them loses an update to a kill.
func TestAllWithPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("not run: it takes a minute; with -short there is the run without peers")
	}
	dir := t.TempDir()
	figures := filepath.Join(dir, "figures.json")
	args := []string{"all", "-quick", "-growth", "4", "-dir", dir, "-html", filepath.Join(dir, "page.html"), "-json", figures}
	if err := run(t.Context(), args, &strings.Builder{}); err != nil {
		t.Fatal(err)
	}
	r := readReport(t, figures)
	if len(r.Problems) > 0 {
		t.Errorf("%+v", r.Problems)
	}
	engines := 0
	for _, e := range r.Engines {
		if e.Missing != "" {
			continue
		}
		engines++
		if e.Name != "store" && e.Name != "bound" && !strings.Contains(e.Version, " v") {
			t.Errorf("the version of %s is %q", e.Name, e.Version)
		}
	}
	if len(r.Damage) != engines-1 || len(r.Recovery) != engines-1 {
		t.Errorf("of %d engines, %d were damaged and %d opened", engines, len(r.Damage), len(r.Recovery))
	}
	for _, d := range r.Damage {
		if d.Kill.Whole != d.Kill.Trials {
			t.Errorf("%s: %+v", d.Engine, d.Kill)
		}
		checkDamage(t, d)
	}
}

// checkDamage checks of an engine what its documents say, or its sources.
func checkDamage(t *testing.T, d report.Damage) {
	t.Helper()
	switch d.Engine {
	case "store", "pebble":
		if d.Torn.Whole != d.Torn.Trials || d.Flipped.Refused != d.Flipped.Trials {
			t.Errorf("%+v", d)
		}
	case "tidwall/wal": // no checksums
		if d.Flipped.Silent() == 0 {
			t.Errorf("%+v", d)
		}
	}
}
