package store_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// Waiting for SyncInterval is nothing that an operator must know.
func TestSyncIntervalIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/intervallog"
		memory(t, dir)
		opts, lines := logged(store.Options{SnapshotBytes: -1, SyncInterval: time.Minute})
		s := open(t, dir, &journal{}, opts)
		update(t, s, "one")
		lines()
		_, err := s.Submit([]byte("two"))
		check(t, err)
		time.Sleep(59 * time.Second)
		if l := lines(); strings.Contains(l, "nothing moves on") {
			t.Error(l)
		}
		check(t, s.Close())
	})
}

// A commit that the disk keeps waiting is told, also if it comes after SyncInterval.
func TestASlowCommitAfterSyncIntervalIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/intervalslow"
		_, fs := memory(t, dir)
		opts, lines := logged(store.Options{SnapshotBytes: -1, SyncInterval: time.Minute})
		s := open(t, dir, &journal{}, opts)
		update(t, s, "one")
		_, err := s.Submit([]byte("two"))
		check(t, err)
		lines()
		fs.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpDatasync {
				time.Sleep(time.Minute)
			}
		})
		time.Sleep(90 * time.Second)
		if l := lines(); !strings.Contains(l, "a commit waits for the disk") {
			t.Errorf("the log says %q", l)
		}
		check(t, s.Close())
	})
}
