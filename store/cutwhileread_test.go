package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio/store"
)

// cutting is a machine that has its log cut at its first update.
type cutting struct {
	journal
	cut func()
}

func (m *cutting) Apply(u []byte) (any, error) {
	if len(m.updates) == 0 {
		m.cut()
	}
	return m.journal.Apply(u)
}

// A log that is cut while it is read, as by rsync --inplace over it, or by a store that is
// opened and cuts off what its disk has lost, is damage, or what comes of reading the rest,
// for all that read it: none panics.
func TestALogThatIsCutWhileItIsRead(t *testing.T) {
	for name, read := range map[string]func(dir string, cut func()) error{
		"Open": func(dir string, cut func()) error {
			_, err := store.Open(dir, &cutting{cut: cut}, quiet(nil))
			return err
		},
		"Load": func(dir string, cut func()) error {
			_, err := store.Load(t.Context(), dir, &cutting{cut: cut})
			return err
		},
		"RestoreAt": func(dir string, cut func()) error {
			return store.RestoreAt(t.Context(), dir, &cutting{cut: cut}, 9, nil)
		},
		"ReadUpdates": func(dir string, cut func()) error {
			for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
				if err != nil {
					return err
				}
				if u.Index == 1 {
					cut()
				}
			}
			return nil
		},
		"Check": func(dir string, cut func()) error {
			_, err := store.Check(context.Background(), dir, &store.CheckOptions{Update: func(u store.Update) {
				if u.Index == 1 {
					cut()
				}
			}})
			return err
		},
	} {
		for _, size := range []int64{0, headerLen, 150} {
			dir := filepath.Join(t.TempDir(), "store")
			s := openOnly(t, dir, &journal{}, nil)
			for i := range 3 {
				update(t, s, fmt.Sprint("update ", i))
			}
			log := filepath.Join(dir, log0)
			b, err := os.ReadFile(log) // as a kill leaves it, without a seal
			check(t, err)
			check(t, s.Close())
			check(t, os.RemoveAll(dir))
			check(t, os.Mkdir(dir, 0o700))
			check(t, os.WriteFile(log, b, 0o600))
			err = read(dir, func() { check(t, os.Truncate(log, size)) })
			if name == "Open" || name == "Load" || name == "ReadUpdates" {
				wantIs(t, err, store.ErrCorrupt)
			}
		}
	}
}
