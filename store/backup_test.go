package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/logio"
	"github.com/stateio/stateio/store"
)

// aBackup returns a backup of a store with those updates.
func aBackup(t testing.TB, updates ...string) []byte {
	t.Helper()
	dir := "/backedup" + t.Name()
	memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	for _, u := range updates {
		update(t, s, u)
	}
	var b bytes.Buffer
	if _, err := s.Backup(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// refusedBackup makes sure that a file is taken for no whole backup, and that Import
// makes no store of it.
func refusedBackup(t *testing.T, what string, file []byte) {
	t.Helper()
	const dir = "/refusedbackup"
	defer storefs.Mount(dir, memfs.New(memfs.Options{}))()
	if _, err := store.VerifyBackup(t.Context(), bytes.NewReader(file), int64(len(file))); !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrVersion) {
		t.Errorf("%s: VerifyBackup: %v", what, err)
	}
	err := store.Import(dir, bytes.NewReader(file), int64(len(file)))
	if err == nil {
		t.Errorf("%s: it was imported", what)
	}
	if _, err := store.Open(dir, &journal{}, quiet(&store.Options{MustExist: true})); err == nil {
		t.Errorf("%s: there is a store", what)
	}
}

// A backup that was cut anywhere, or of which any bit has changed, is refused.
func TestABackupThatIsNotWholeIsRefused(t *testing.T) {
	for _, updates := range [][]string{nil, {"one", "two"}, {strings.Repeat("x", 100_000)}} {
		whole := aBackup(t, updates...)
		step := 1
		if len(whole) > 1000 {
			step = 601
		}
		for n := 0; n < len(whole); n += step {
			refusedBackup(t, fmt.Sprintf("%d of %d bytes", n, len(whole)), whole[:n])
			refusedBackup(t, fmt.Sprintf("%d of %d bytes, and zeros", n, len(whole)), append(bytes.Clone(whole[:n]), make([]byte, len(whole)-n)...))
			b := bytes.Clone(whole)
			b[n] ^= 1 << (n % 8)
			refusedBackup(t, fmt.Sprintf("a bit at offset %d of %d", n, len(whole)), b)
		}
		refusedBackup(t, "a byte too many", append(bytes.Clone(whole), 0))
		refusedBackup(t, "twice", append(bytes.Clone(whole), whole...))
	}
}

// A block of another backup, even of the same store, is noticed, and so is one that
// is missing or there twice.
func TestABackupWithAForeignBlockIsRefused(t *testing.T) {
	const dir = "/blocks"
	memory(t, dir)
	s := open(t, dir, &keepLast{}, nil)
	var backups [2]bytes.Buffer
	for i := range backups {
		update(t, s, strings.Repeat(string(rune('a'+i)), 200_000))
		_, err := s.Backup(t.Context(), &backups[i])
		check(t, err)
	}
	one, other := backups[0].Bytes(), backups[1].Bytes()
	for at := 0; at+logio.Blocksz <= len(one); at += logio.Blocksz {
		b := bytes.Clone(one)
		copy(b[at:at+logio.Blocksz], other[at:])
		if !bytes.Equal(b, one) {
			refusedBackup(t, fmt.Sprint("the other's block at ", at), b)
		}
		refusedBackup(t, fmt.Sprint("without the block at ", at), slices.Concat(one[:at], one[at+logio.Blocksz:]))
		refusedBackup(t, fmt.Sprint("twice the block at ", at), slices.Concat(one[:at+logio.Blocksz], one[at:]))
	}
	refusedBackup(t, "the end of the other", slices.Concat(one[:len(one)-500], other[len(other)-500:]))
}

// A store that is made of a backup goes on where that was made: with its index and
// its identity.
func TestAnImportedBackupKeepsIndexAndIdentity(t *testing.T) {
	const dir = "/kept"
	file := aBackup(t, "one", "two", "three")
	info, err := store.VerifyBackup(t.Context(), bytes.NewReader(file), int64(len(file)))
	check(t, err)
	if info.Index != 3 || info.Bytes == 0 || info.Time.IsZero() {
		t.Errorf("%+v", info)
	}
	mem, _ := memory(t, dir)
	check(t, store.Import(dir, bytes.NewReader(file), int64(len(file))))
	m := &journal{}
	s := open(t, dir, m, nil)
	if s.Index() != 3 || len(m.updates) != 3 {
		t.Errorf("index %d, %q", s.Index(), m.updates)
	}
	update(t, s, "four")
	var again bytes.Buffer
	index, err := s.Backup(t.Context(), &again)
	check(t, err)
	second, err := store.VerifyBackup(t.Context(), bytes.NewReader(again.Bytes()), int64(again.Len()))
	check(t, err)
	if index != 4 || second.Index != 4 || second.Store != info.Store {
		t.Errorf("a backup of it: %+v, want the store of %+v", second, info)
	}
	check(t, s.Close())
	if got := checked(t, readFiles(t, mem, dir)); strings.Contains(got, "damage@") {
		t.Errorf("Check reports\n%s", got)
	}
	wantIs(t, store.Import(dir, bytes.NewReader(file), int64(len(file))), fs.ErrExist)
	fl := readFiles(t, mem, dir)
	for _, lost := range []string{snap3, log3} {
		part := maps.Clone(fl)
		delete(part, lost)
		mount(t, dir, part.mem(t, dir))
		_, err := store.Open(dir, &journal{}, quiet(nil))
		wantIs(t, err, store.ErrCorrupt)
	}
}

// To package stateio, a backup is an epoch of the state and of one update.
func TestABackupIsAStateFile(t *testing.T) {
	file := aBackup(t, "one", "two")
	state, _, updates, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
	check(t, err)
	m := &journal{}
	check(t, m.Restore(bytes.NewReader(state)))
	if !slices.Equal(m.updates, []string{"one", "two"}) {
		t.Errorf("the state is %q", m.updates)
	}
	end, err := updates.Read()
	if err != nil || !bytes.HasPrefix(end, []byte("stateio\n")) {
		t.Errorf("the update is %q, %v", end, err)
	}
	if _, err := updates.Read(); err != io.EOF {
		t.Errorf("after it: %v", err)
	}
}

// An import that was interrupted by a crash at any operation can be made again, and
// no part of it opens.
func TestAnInterruptedImportOfABackupCanBeMadeAgain(t *testing.T) {
	const dir = "/interrupted"
	file := aBackup(t, "one", strings.Repeat("x", 50_000))
	doImport := func() error { return store.Import(dir, bytes.NewReader(file), int64(len(file))) }
	for n := int64(1); ; n++ {
		mem := memfs.New(memfs.Options{})
		faulty := faultfs.New(mem)
		stop := faulty.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: n, Stop: true})
		unmount := storefs.Mount(dir, faulty)
		err := doImport()
		unmount()
		if stop.Hits() == 0 {
			check(t, err)
			return
		}
		for i, left := range []*memfs.FS{mem.Kill(), mem.Crash(rand.New(rand.NewPCG(1, uint64(n)))), mem.Crash(rand.New(rand.NewPCG(2, uint64(n))))} {
			unmount := storefs.Mount(dir, left)
			s, err := store.Open(dir, &journal{}, quiet(&store.Options{MustExist: true}))
			if err == nil {
				if s.Index() != 2 {
					t.Errorf("operation %d, state %d: a store at index %d", n, i, s.Index())
				}
				check(t, s.Close())
			} else if err := doImport(); err != nil {
				t.Errorf("operation %d, state %d: once more: %v", n, i, err)
			}
			m := &journal{}
			check(t, open(t, dir, m, nil).Close())
			if len(m.updates) != 2 {
				t.Errorf("operation %d, state %d: %d updates", n, i, len(m.updates))
			}
			unmount()
		}
	}
}

// makings are the ways to make a store in dir of something else.
func makings(t *testing.T, dir, from string) map[string]func() error {
	t.Helper()
	file, whole := stateFile(t, nil, "one", "two"), aBackup(t, "one", strings.Repeat("x", 50_000))
	memory(t, from)
	s := open(t, from, &journal{}, nil)
	update(t, s, "one")
	update(t, s, "two")
	check(t, s.Close())
	return map[string]func() error{
		"import": func() error { return store.Import(dir, bytes.NewReader(file), int64(len(file))) },
		"create": func() error { return store.Create(dir, journalState{"one", strings.Repeat("x", 50_000)}, quiet(nil)) },
		"backup": func() error { return store.Import(dir, bytes.NewReader(whole), int64(len(whole))) },
		"repair": func() error {
			_, err := store.Repair(t.Context(), from, dir, nil)
			return err
		},
		"copy": func() error {
			_, err := store.Copy(t.Context(), from, dir, nil)
			return err
		},
	}
}

// A making that is interrupted at any operation, also after another one has failed, leaves
// nothing, or what Open refuses, or the complete store: never a directory that Open takes for
// the one of a new store.
func TestAnInterruptedMakingIsNoEmptyStore(t *testing.T) {
	const dir, from = "/interrupted", "/from"
	for name, make := range makings(t, dir, from) {
		found, whole := 0, 0
		for _, fails := range []faultfs.Fault{{}, {Err: syscall.EIO}, {Err: syscall.EIO, After: true}} {
			for fails.N = 1; ; fails.N++ {
				states, failed := interrupted(t, dir, make, fails)
				for _, left := range states {
					unmount := storefs.Mount(dir, left.fs)
					_, err := left.fs.Stat(dir)
					there := err == nil
					m := &journal{}
					switch s, err := store.Open(dir, m, quiet(nil)); {
					case err == nil && there && len(m.updates) == 0:
						t.Errorf("%s, %s: an empty store", name, left.what)
						fallthrough
					case err == nil:
						whole += len(m.updates)
						check(t, s.Close())
					case there:
						found++
						wantIs(t, err, store.ErrCorrupt)
					default:
						t.Errorf("%s, %s: %v", name, left.what, err)
					}
					unmount()
				}
				if !failed {
					break
				}
			}
		}
		if found < 100 || whole == 0 {
			t.Errorf("%s: only %d states were refused, and %d updates there in others", name, found, whole)
		}
	}
}

// A leftover is what an interrupted making has left.
type leftover struct {
	fs   *memfs.FS
	what string
}

// interrupted returns what is left when make is interrupted at each operation on dir after the
// one that fails, and whether that has happened.
func interrupted(t *testing.T, dir string, make func() error, fails faultfs.Fault) (states []leftover, failed bool) {
	t.Helper()
	fails.Kinds = faultfs.Changes
	for n := fails.N; ; n++ {
		mem := memfs.New(memfs.Options{})
		faulty := faultfs.New(mem)
		var fail *faultfs.Injection
		if fails.Err != nil {
			fail = faulty.Inject(fails)
		}
		stop := faulty.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: n + 1, Stop: true})
		unmount := storefs.Mount(dir, faulty)
		err := make()
		unmount()
		if stop.Hits() == 0 {
			if fails.Err == nil {
				check(t, err)
			}
			return states, fail != nil && fail.Hits() > 0
		}
		what := fmt.Sprintf("after %d operations, of which %d may have failed", n, fails.N)
		states = append(states, leftover{mem.Kill(), what + ", killed"})
		for seed := range uint64(3) {
			states = append(states, leftover{mem.Crash(rand.New(rand.NewPCG(seed, uint64(n)))), what + ", without power"})
		}
	}
}

// A store whose making fails, as on a full disk, is never taken for an empty one, and its
// making can be called again; Repair wants the directory removed before.
func TestAFailedMakingIsNoEmptyStore(t *testing.T) {
	const dir, from = "/failed", "/from"
	for name, make := range makings(t, dir, from) {
		for _, fault := range []faultfs.Fault{
			{Kinds: faultfs.Changes},
			{Kinds: faultfs.OpWrite | faultfs.OpPreallocate, Forever: true},
		} {
			fault.Path, fault.Err = "*.tmp", syscall.ENOSPC
			for fault.N = 1; ; fault.N++ {
				f := faultfs.New(memfs.New(memfs.Options{}))
				hit := f.Inject(fault)
				unmount := storefs.Mount(dir, f)
				err := make()
				f.Heal()
				if hit.Hits() == 0 {
					check(t, err)
					unmount()
					break
				}
				_, serr := f.Stat(dir)
				switch there := serr == nil; {
				case err == nil:
				case !there && !strings.Contains(err.Error(), "remove"):
					check(t, make()) // nothing was begun
				case !there:
					t.Errorf("%s, operation %d fails with %v, and nothing is there", name, fault.N, err)
				default:
					if _, oerr := store.Open(dir, &journal{}, quiet(nil)); !errors.Is(oerr, store.ErrCorrupt) {
						t.Errorf("%s, operation %d fails with %v: Open returns %v", name, fault.N, err, oerr)
					}
					fresh := name == "repair" || name == "copy"
					switch again := make(); {
					case !fresh:
						check(t, again)
					case !errors.Is(again, fs.ErrExist) || !strings.Contains(err.Error(), "remove it before you"):
						t.Errorf("a %s fails with %v, and again with %v", name, err, again)
					}
				}
				unmount()
			}
			if fault.N < 3 {
				t.Errorf("%s: only %d operations could fail", name, fault.N-1)
			}
		}
	}
}

// A state that can't be written makes no store.
func TestAMakingOfAStateThatFailsIsNoEmptyStore(t *testing.T) {
	const dir = "/failing"
	memory(t, dir)
	wantIs(t, store.Create(dir, store.WriterFunc(func(io.Writer) error { return syscall.EIO }), quiet(nil)), syscall.EIO)
	_, err := store.Open(dir, &journal{}, quiet(nil))
	wantIs(t, err, store.ErrCorrupt)
	check(t, store.Create(dir, journalState{"one"}, quiet(nil)))
	check(t, open(t, dir, &journal{}, nil).Close())
}

// zeroState writes many bytes from little memory.
type zeroState int64

func (n zeroState) WriteTo(w io.Writer) (written int64, err error) {
	b := make([]byte, 64<<10)
	for written < int64(n) && err == nil {
		var k int
		k, err = w.Write(b[:min(int64(len(b)), int64(n)-written)])
		written += int64(k)
	}
	return written, err
}

// Neither a backup nor an import holds the state in memory.
func TestImportMemoryDoesNotDependOnTheState(t *testing.T) {
	const size = 64 << 20
	dir := t.TempDir()
	m := &troubled{snapshot: func() (io.WriterTo, error) { return zeroState(size), nil }}
	s := open(t, dir+"/from", m, nil)
	update(t, s, "one")
	path := dir + "/backup"
	f := createFile(t, path)
	_, err := s.Backup(t.Context(), f)
	check(t, err)
	info, err := f.Stat()
	check(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	check(t, store.Import(dir+"/to", f, info.Size()))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > size/2 {
		t.Errorf("importing a state of %d bytes allocates %d", size, n)
	}
	check(t, s.Close())
}

// A snapshot before the first update may be interrupted at any operation: the store
// opens, with the state or without.
func TestAnInterruptedSnapshotBeforeTheFirstUpdate(t *testing.T) {
	const dir = "/initial"
	live := func() {
		m := &journal{}
		s, err := store.Open(dir, m, quiet(nil))
		if err != nil {
			return
		}
		m.updates = []string{"old"}
		_ = s.Snapshot(context.Background())
		_, _ = s.Update(context.Background(), []byte("new"))
		_ = s.Close()
	}
	for n := int64(1); ; n++ {
		mem := memfs.New(memfs.Options{})
		faulty := faultfs.New(mem)
		stop := faulty.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: n, Stop: true})
		unmount := storefs.Mount(dir, faulty)
		live()
		unmount()
		if stop.Hits() == 0 {
			return
		}
		for state := range mem.CrashStates() {
			unmount := storefs.Mount(dir, state)
			m := &journal{}
			s, err := store.Open(dir, m, quiet(nil))
			if err != nil {
				t.Errorf("operation %d: %v", n, err)
			} else {
				check(t, s.Close())
			}
			unmount()
		}
	}
}

// The same with an operation that fails.
func TestAFailedSnapshotBeforeTheFirstUpdate(t *testing.T) {
	const dir = "/initialfault"
	for _, fault := range []faultfs.Fault{{Err: syscall.EIO}, {Err: syscall.EIO, After: true}, {Err: syscall.ENOSPC}} {
		for n := int64(1); ; n++ {
			mem := memfs.New(memfs.Options{})
			faulty := faultfs.New(mem)
			unmount := storefs.Mount(dir, faulty)
			m := &journal{}
			s := open(t, dir, m, nil)
			m.updates = []string{"old"}
			fault.Kinds, fault.N = faultfs.Changes, n
			injected := faulty.Inject(fault)
			serr := s.Snapshot(t.Context())
			faulty.Heal()
			_, uerr := s.Update(t.Context(), []byte("new"))
			_ = s.Close()
			unmount()
			if injected.Hits() == 0 {
				check(t, errors.Join(serr, uerr))
				break
			}
			if uerr == nil {
				wantFirstStateNeeded(t, mem, dir, fmt.Sprintf("%v at operation %d", fault.Err, n))
			}
			for state := range mem.CrashStates() {
				unmount := storefs.Mount(dir, state)
				m := &journal{}
				s, err := store.Open(dir, m, quiet(nil))
				switch {
				case err != nil:
					t.Errorf("%v at operation %d: %v", fault.Err, n, err)
				case serr == nil && !slices.Contains(m.updates, "old"), uerr == nil && !slices.Contains(m.updates, "new"):
					t.Errorf("%v at operation %d: recovered %q; the snapshot: %v, the update: %v", fault.Err, n, m.updates, serr, uerr)
				}
				if err == nil {
					check(t, s.Close())
				}
				unmount()
			}
		}
	}
}

// wantFirstStateNeeded checks that the store in dir of mem, which has updates, does not open without
// its snapshot of index 0, if it has one.
func wantFirstStateNeeded(t *testing.T, mem *memfs.FS, dir, what string) {
	t.Helper()
	left := readFiles(t, mem, dir)
	if left[snap0] == nil {
		return
	}
	delete(left, snap0)
	dir += "-without"
	defer storefs.Mount(dir, left.mem(t, dir))()
	m := &journal{}
	if s, err := store.Open(dir, m, quiet(nil)); err == nil {
		t.Errorf("%s: without the state that was set first, the store opens with %q", what, m.updates)
		check(t, s.Close())
	}
}

// A crash has come between the snapshot of a state that was set before the first update, and the
// exchange of the log for one that needs it. Where there is no space for that when the store is
// opened, no update is made before there is.
func TestAFirstStateThatWaitsForSpaceIsNeeded(t *testing.T) {
	const dir = "/initialfull"
	mem, faulty := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, nil)
	m.updates = []string{"old"}
	faulty.Inject(faultfs.Fault{Kinds: faultfs.OpRename, Path: log0, Stop: true})
	wantIs(t, s.Snapshot(t.Context()), store.ErrFailed)
	_ = s.Close()
	left := mem.Kill()
	if fl := readFiles(t, left, dir); fl[snap0] == nil || fl[log0] == nil {
		t.Fatalf("the crash has left %q", fl.names())
	}
	faulty = faultfs.New(left)
	faulty.Inject(faultfs.Fault{Kinds: faultfs.OpWrite | faultfs.OpPreallocate, Path: log0 + ".tmp", Err: syscall.ENOSPC, Forever: true})
	mount(t, dir, faulty)
	m = &journal{}
	s = open(t, dir, m, nil)
	_, err := s.Update(t.Context(), []byte("new"))
	wantIs(t, err, store.ErrNoSpace)
	_, err = s.Submit([]byte("new"))
	wantIs(t, err, store.ErrNoSpace)
	_, err = s.Change(t.Context(), note(m, "new"))
	wantIs(t, err, store.ErrNoSpace)
	check(t, s.Snapshot(t.Context())) // which is there
	if !slices.Equal(m.updates, []string{"old"}) || s.Index() != 0 {
		t.Errorf("without space, %q is there at index %d", m.updates, s.Index())
	}
	faulty.Heal()
	update(t, s, "new")
	check(t, s.Close())
	wantFirstStateNeeded(t, left, dir, "after there was space")
	m = &journal{}
	check(t, open(t, dir, m, nil).Close())
	if !slices.Equal(m.updates, []string{"old", "new"}) {
		t.Errorf("the store has %q", m.updates)
	}
}

// A snapshot of such a state that can't be taken back for certain, when it has failed, ends the
// store before there is an update.
func TestAFirstStateThatStaysFailsTheStore(t *testing.T) {
	const dir = "/initialstays"
	mem, faulty := memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, nil)
	m.updates = []string{"old"}
	faulty.Inject(faultfs.Fault{Kinds: faultfs.OpSyncDir, Err: syscall.EIO, Forever: true})
	wantIs(t, s.Snapshot(t.Context()), store.ErrFailed)
	_, err := s.Update(t.Context(), []byte("new"))
	wantIs(t, err, store.ErrFailed)
	_ = s.Close()
	faulty.Heal()
	for state := range mem.CrashStates() {
		unmount := storefs.Mount(dir, state)
		m := &journal{}
		check(t, open(t, dir, m, nil).Close())
		if len(m.updates) > 0 && m.updates[0] != "old" {
			t.Errorf("recovered %q", m.updates)
		}
		unmount()
	}
}

// What is imported must be whole: an empty or cut file is not taken for nothing.
func TestAStateFileThatIsNotWholeIsNotImported(t *testing.T) {
	const dir = "/incomplete"
	file := stateFile(t, []string{"s"}, "one", "two")
	mem, _ := memory(t, dir)
	ends := map[int]bool{len(stateFile(t, []string{"s"})): true, len(stateFile(t, []string{"s"}, "one")): true}
	for n := range len(file) {
		if ends[n] {
			continue // an older version of the file, which nothing tells from a cut one
		}
		wantIs(t, store.Import(dir, bytes.NewReader(file), int64(n)), store.ErrCorrupt)
		if l, err := mem.List(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("after an import of %d bytes of the file, %v is in %s, %v", n, l, dir, err)
		}
	}
	check(t, store.Import(dir, bytes.NewReader(file), int64(len(file))))
	for _, s := range []string{"42\n", "{\"json\": true}\n", strings.Repeat("\x00", 100)} {
		wantIs(t, store.Import("/other", strings.NewReader(s), int64(len(s))), store.ErrCorrupt)
	}
}

// The log of a store, named by mistake, is told from a state file.
func TestAFileOfAStoreIsNotImported(t *testing.T) {
	const dir = "/astore"
	mem, _ := memory(t, dir)
	s := open(t, dir, &journal{}, nil)
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	for name, b := range readFiles(t, mem, dir) {
		if err := store.Import("/elsewhere", bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), "of a store") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An impatient context ends when somebody begins to wait for its end.
type impatient struct {
	context.Context
	end func()
}

func (i impatient) Done() <-chan struct{} {
	i.end()
	return i.Context.Done()
}

// Backups whose callers did not wait for a View to end don't capture the state after that, one
// after the other, while updates wait.
func TestABackupThatNobodyWaitsForCapturesNothing(t *testing.T) {
	const dir = "/unwaited"
	memory(t, dir)
	m := &troubled{}
	captures := 0
	m.snapshot = func() (io.WriterTo, error) {
		captures++
		return m.journal.Snapshot()
	}
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1})
	viewing, release := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.View(func() error {
			close(viewing)
			<-release
			return nil
		})
	}()
	<-viewing
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.Backup(impatient{ctx, cancel}, io.Discard)
		wantIs(t, err, context.Canceled)
	}
	close(release)
	_, err := s.Backup(t.Context(), io.Discard)
	if check(t, err); captures != 1 {
		t.Errorf("the state was captured %d times for one backup", captures)
	}
	check(t, s.Close())
}
