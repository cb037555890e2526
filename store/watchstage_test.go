package store_test

import (
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
	}{
		"a snapshot is being read back":                                   {op: faultfs.OpRead},
		"the shadow machine replays":                                      {shadow: func() store.Machine { return &twin{apply: wait} }},
		"WriteTo of the captured state writes nothing, or the disk takes": {op: faultfs.OpWrite},
	} {
		synctest.Test(t, func(t *testing.T) {
			const dir = "/stages"
			_, fs := memory(t, dir)
			opts, lines := logged(store.Options{SnapshotBytes: -1, Shadow: tt.shadow})
			s := open(t, dir, &journal{}, opts)
			update(t, s, strings.Repeat("x", 100_000))
			lines()
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
