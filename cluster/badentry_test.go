package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// TestALeaderThatCanNotReadItsLogGivesWay damages an entry, or the snapshot, of a leader while it runs,
// which a node needs that was away. That gets it from the next leader.
func TestALeaderThatCanNotReadItsLogGivesWay(t *testing.T) {
	for _, what := range []string{"an entry", "a snapshot"} {
		t.Run(what, func(t *testing.T) {
			concurrently(t)
			var log lines
			tr := startTrial(t, 3, func(i int, o *Options) {
				smallAndSteady(i, o)
				if what == "an entry" {
					o.hooks.keepLogs = 0
				}
				o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			})
			lead, away := tr.leader(), tr.follower()
			update(t, tr.nodes[away], "add x")
			tr.crash(away)
			for i := range 200 {
				update(t, tr.nodes[lead], fmt.Sprintf("set k%d %s", i, strings.Repeat("x", 1000)))
			}
			other := 3 - lead - away
			if what == "a snapshot" {
				for _, i := range []int{lead, other} {
					if err := errors.Join(tr.nodes[i].Sync(within(t, time.Minute)), tr.nodes[i].Snapshot(t.Context())); err != nil {
						t.Fatal(err)
					}
				}
			}
			tr.crash(lead) // so that they have nothing in memory
			tr.crash(other)
			tr.start(lead)
			tr.start(other)
			lead = tr.leader()
			update(t, tr.nodes[lead], "add x")
			file := glob(t, 1, tr.path(lead), "wal", "*.wal")[0]
			if what == "a snapshot" {
				file = glob(t, 1, tr.path(lead), "snapshots", "*", "state.bin")[0]
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.Index(b, []byte("xxxxxxxxxx"))
			if at < 0 {
				t.Fatalf("%s has no update", file)
			}
			b[at] = 'y'
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			n := tr.start(away)
			if err := n.Sync(within(t, time.Minute)); err != nil {
				t.Error(err)
			}
			equalStates(t, tr)
			if err := tr.nodes[lead].Stats().Err; what == "an entry" && (!errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "Rejoin")) {
				t.Errorf("the node whose log is damaged says %v", err)
			}
			if !strings.Contains(log.String(), "can't be read") {
				t.Errorf("the log does not say it, of %s:\n%s", filepath.Base(file), log.String())
			}
		})
	}
}
