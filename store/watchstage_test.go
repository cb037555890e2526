package store_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// A snapshot that does not get on is told with what it waits for.
func TestWhatASnapshotWaitsForIsLogged(t *testing.T) {
	wait := func([]byte) (any, error) {
		time.Sleep(time.Minute)
		return nil, nil
	}
	for want, tt := range map[string]struct {
		op     faultfs.Kind // that takes a minute
		shadow func() store.Machine
		close  func() // of the captured state; nil: it does nothing
	}{
		"a snapshot is being read back":                                   {op: faultfs.OpRead},
		"the shadow machine replays":                                      {shadow: func() store.Machine { return &twin{apply: wait} }},
		"WriteTo of the captured state writes nothing, or the disk takes": {op: faultfs.OpWrite},
		"a state that was captured for a snapshot is being closed":        {close: func() { _, _ = wait(nil) }},
		"files that a snapshot has made superfluous are being removed":    {op: faultfs.OpRemove},
	} {
		synctest.Test(t, func(t *testing.T) {
			const dir = "/stages"
			_, fs := memory(t, dir)
			opts, lines := logged(store.Options{SnapshotBytes: -1, KeepSnapshots: 1, Shadow: tt.shadow})
			m := &closer{}
			s := open(t, dir, m, opts)
			update(t, s, "one")
			check(t, s.Snapshot(t.Context()))
			update(t, s, strings.Repeat("x", 100_000))
			lines()
			m.closeState = tt.close
			fs.OnOp(func(op faultfs.Op) {
				if op.Kind == tt.op && strings.Contains(op.Path, ".snap") {
					time.Sleep(time.Minute)
				}
			})
			check(t, s.Snapshot(t.Context()))
			if l := lines(); !strings.Contains(l, want) {
				t.Errorf("the log says %q, and not that %s", l, want)
			}
			check(t, s.Close())
		})
	}
}

// Updates that wait for the snapshot of a state that was set before the first of them wait for its
// WriteTo, and not for the disk alone.
func TestWhatTheFirstUpdateWaitsForIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/firststage"
		memory(t, dir)
		opts, lines := logged(store.Options{SnapshotBytes: -1})
		hangs := func() (io.WriterTo, error) {
			return store.WriterFunc(func(io.Writer) error {
				time.Sleep(time.Minute)
				return nil
			}), nil
		}
		s := open(t, dir, &troubled{snapshot: hangs}, opts)
		lines()
		made := make(chan error, 1)
		go func() { made <- s.Snapshot(t.Context()) }()
		synctest.Wait()
		update(t, s, "one")
		check(t, <-made)
		if l := lines(); !strings.Contains(l, "1 update waits for a snapshot of the state before the first one: ") || !strings.Contains(l, "WriteTo") {
			t.Errorf("the log says %q", l)
		}
		check(t, s.Close())
	})
}
