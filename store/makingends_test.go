package store_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
