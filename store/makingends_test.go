package store_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// ended runs do, and reports whether it panicked or ended its goroutine.
func ended(do func()) (early bool) {
	done := make(chan bool)
	go func() {
		early := true
		defer func() {
			_ = recover()
			done <- early
		}()
		do()
		early = false
	}()
	return <-done
}

// descriptors returns how many descriptors the process has; 0 where that is not told.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// wantNoStore checks that nothing of an attempt is left in dir but the mark by which Open
// refuses it, and nothing of it is held.
func wantNoStore(t *testing.T, dir string, had int) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "0*"))
	check(t, err)
	for _, path := range left {
		info, err := os.Stat(path)
		check(t, err)
		if !strings.HasSuffix(path, ".import.tmp") || info.Size() > 0 {
			t.Errorf("left behind: %s, of %d bytes", path, info.Size())
		}
	}
	if has := descriptors(); has > had {
		t.Errorf("%d descriptors, and %d before", has, had)
	}
}

// A state that panics while Create has it written, or ends the goroutine, leaves nothing
// locked or open, and Create can be called again.
func TestACreateThatIsEndedCanBeMadeAgain(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			had := descriptors()
			for range 2 {
				_ = ended(func() {
					err := store.Create(dir, store.WriterFunc(func(w io.Writer) error {
						_, _ = w.Write(make([]byte, 1<<20))
						end()
						return nil
					}), quiet(nil))
					wantEnding(t, name, err, "WriteTo of the state") // of a panic
				})
				wantNoStore(t, dir, had)
			}
			check(t, store.Create(dir, journalState{"one"}, quiet(nil)))
		})
	}
}

// The same for what Import reads, wherever that ends.
func TestAnImportThatIsEndedCanBeMadeAgain(t *testing.T) {
	for file, content := range map[string][]byte{
		"backup":     aBackup(t, strings.Repeat("x", 6<<20), "two"),
		"state file": stateFile(t, []string{strings.Repeat("s", 2<<20)}, "one", strings.Repeat("x", 1<<20), "three"),
	} {
		for name, end := range endings {
			t.Run(file+", "+name, func(t *testing.T) {
				ends := 0
				for n := 1; ; n += 3 {
					dir := t.TempDir()
					had, reads := descriptors(), 0
					early := ended(func() {
						_ = store.Import(dir, readsAt(func(b []byte, off int64) (int, error) {
							if reads++; reads == n {
								end()
							}
							return bytes.NewReader(content).ReadAt(b, off)
						}), int64(len(content)))
					})
					if reads < n {
						break
					}
					ends++
					wantNoStore(t, dir, had)
					if !early && name == "Goexit" {
						t.Errorf("read %d: Import has returned", n)
					}
					check(t, store.Import(dir, bytes.NewReader(content), int64(len(content))))
				}
				if ends < 5 {
					t.Errorf("only %d reads ended", ends)
				}
			})
		}
	}
}

// A readsAt is an io.ReaderAt.
type readsAt func(b []byte, off int64) (int, error)

func (r readsAt) ReadAt(b []byte, off int64) (int, error) { return r(b, off) }

// Progress that panics in Repair, or ends the goroutine, leaves nothing locked or open.
func TestARepairThatIsEndedLetsGo(t *testing.T) {
	src := t.TempDir()
	s := open(t, src, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, strings.Repeat("x", 1<<20))
	check(t, s.Snapshot(t.Context()))
	update(t, s, strings.Repeat("y", 1<<20))
	check(t, s.Close())
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				dst := filepath.Join(t.TempDir(), "dst")
				had, calls := descriptors(), 0
				_ = ended(func() {
					_, _ = store.Repair(t.Context(), src, dst, &store.RepairOptions{Progress: func(int64, int64) {
						if calls++; calls == n {
							end()
						}
					}})
				})
				if calls < n {
					if n < 5 {
						t.Errorf("only %d calls of Progress", calls)
					}
					return
				}
				if has := descriptors(); has > had {
					t.Errorf("call %d: %d descriptors, and %d before", n, has, had)
				}
				check(t, open(t, src, &journal{}, nil).Close()) // which is not locked
			}
		})
	}
}

// An endsIn is a journal that ends in Restore, or in Apply of one update.
type endsIn struct {
	journal
	restore func()
	apply   map[string]func()
}

func (m *endsIn) Restore(r io.Reader) error {
	if m.restore != nil {
		m.restore()
	}
	return m.journal.Restore(r)
}

func (m *endsIn) Apply(u []byte) (any, error) {
	if end := m.apply[string(u)]; end != nil {
		end()
	}
	return m.journal.Apply(u)
}

// A machine that ends what reads a store closes what was opened for that.
func TestAMachineThatEndsItsReaderLeavesNothingOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1})
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	update(t, s, "two")
	readers := map[string]func(m store.Machine) error{
		"Follow":    func(m store.Machine) error { _, err := store.Follow(context.Background(), dir, m, nil); return err },
		"Load":      func(m store.Machine) error { _, err := store.Load(context.Background(), dir, m); return err },
		"RestoreAt": func(m store.Machine) error { return store.RestoreAt(context.Background(), dir, m, 2, nil) },
	}
	for reader, read := range readers {
		for name, end := range endings {
			for where, m := range map[string]*endsIn{"Restore": {restore: end}, "Apply": {apply: map[string]func(){"two": end}}} {
				had := descriptors()
				if !ended(func() { _ = read(m) }) {
					t.Errorf("%s has returned, and not ended in %s", reader, where)
				}
				if has := descriptors(); has > had {
					t.Errorf("%s in %s of the machine of %s: %d descriptors, and %d before", name, where, reader, has, had)
				}
			}
		}
	}
	check(t, s.Close())
}

// A follower whose machine ends its goroutine in a later Restore can be read, and closed.
func TestAFollowerWhoseRestoreEndsItsGoroutine(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &journal{}, &store.Options{SnapshotBytes: -1, KeepSnapshots: 1})
	update(t, s, "one")
	m := &endsIn{}
	f, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	check(t, f.View(func() error {
		m.restore = runtime.Goexit
		for range 3 { // logs that the follower has not read are dropped
			update(t, s, "more")
			check(t, s.Snapshot(t.Context()))
		}
		return nil
	}))
	store.Arrives(t, f.Done(), "the follower goes on")
	wantIs(t, f.Err(), store.ErrFailed)
	soon(t, "View", func() { check(t, f.View(func() error { return nil })) })
	wantIs(t, f.Close(), store.ErrFailed)
	check(t, s.Close())
}
