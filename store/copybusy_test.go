package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// Copy and ReadUpdates end beside a program that updates all the time, with what was durable
// when they began, however long it takes to look at the space that is set aside.
func TestReadingEndsBesideUpdates(t *testing.T) {
	const most = 100
	for name, read := range map[string]func(dir string) (uint64, error){
		"Copy": func(dir string) (uint64, error) {
			memory(t, dir+"copy")
			return store.Copy(t.Context(), dir, dir+"copy", nil)
		},
		"ReadUpdates": func(dir string) (last uint64, err error) {
			for u, err := range store.ReadUpdates(t.Context(), dir, 1) {
				if err != nil {
					return 0, err
				}
				last = u.Index
			}
			return last, nil
		},
	} {
		for _, set := range []int64{64 << 10, 4 << 20} { // so that the log grows meanwhile, or does not
			dir := fmt.Sprint("/busy", name, set)
			_, fs := memory(t, dir)
			s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, PreallocateBytes: set})
			for i := range 3 {
				update(t, s, fmt.Sprint(i))
			}
			durable, updates, within := s.Stats().Durable, 0, false
			fs.OnOp(func(op faultfs.Op) {
				if within || op.Kind != faultfs.OpList || updates == most { // the last step of a look at the end
					return
				}
				within = true
				_, err := s.Update(context.Background(), make([]byte, 20<<10))
				check(t, err)
				within = false
				updates++
			})
			last, err := read(dir)
			check(t, err)
			fs.OnOp(nil)
			if last < durable || updates == 0 || updates == most {
				t.Errorf("%s of %d bytes at once: up to %d of %d, and %d updates meanwhile", name, set, last, durable, updates)
			}
			check(t, s.Close())
		}
	}
}
