package store_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// Where entries start in the logs of checkedStore.
const (
	update2At = headerLen
	update3At = update2At + entryLen + 30
	seal1At   = update3At + entryLen + 40
	seal3At   = headerLen + entryLen + 50
)

// voidLog returns a log after base of the store that log is of, without updates.
func voidLog(log []byte, base byte) []byte {
	return record.AppendEntry(nil, 0, replace(log[record.HeaderSize:headerLen], baseAt, []byte{base}), nil)
}

// readUpdates returns how many updates there are from index from on in a store
// of these files, and what ends them.
func readUpdates(t *testing.T, fl files, from uint64) (n uint64, err error) {
	t.Helper()
	const dir = "/updates"
	f := faultfs.New(fl.mem(t, dir))
	defer storefs.Mount(dir, f)()
	return boundedRead(t, f, dir, from)
}

// boundedRead is readUpdates of the store in dir, and ends what would not end by
// itself, after many operations of f.
func boundedRead(t *testing.T, f *faultfs.FS, dir string, from uint64) (n uint64, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := f.Ops()
	f.OnOp(func(op faultfs.Op) {
		if op.N-start > 2000 {
			cancel()
		}
	})
	defer f.OnOp(nil)
	return countUpdates(t, store.ReadUpdates(ctx, dir, from), from)
}

// countUpdates returns how many updates there are, in order from that one on, and
// what ends them.
func countUpdates(t *testing.T, updates iter.Seq2[store.Update, error], from uint64) (n uint64, err error) {
	t.Helper()
	for u, e := range updates {
		if err != nil {
			t.Errorf("%v, and then update %d, %v", err, u.Index, e)
		}
		if err = e; err == nil {
			if u.Index != from+n {
				t.Errorf("update %d where %d should be", u.Index, from+n)
			}
			n++
		}
	}
	return n, err
}

// until returns updates, with a call of cancel before that of the given index.
func until(updates iter.Seq2[store.Update, error], index uint64, cancel func()) iter.Seq2[store.Update, error] {
	return func(yield func(store.Update, error) bool) {
		for u, err := range updates {
			if u.Index == index {
				cancel()
			}
			if !yield(u, err) {
				return
			}
		}
	}
}

// An update that is missing or damaged is told where something shows that it was
// durable, and is the end of the updates where nothing does.
func TestReadUpdatesTellsDamageFromTheEnd(t *testing.T) {
	whole := checkedStore(t)
	two, _ := build(t, "/two", 9, 20, 30, killed)
	flip := func(fl files, name string, at int) { fl[name] = replace(fl[name], at, []byte{^fl[name][at]}) }
	for _, tt := range []struct {
		what   string
		harm   func(fl files)
		n      uint64
		file   string // "": there is no error
		offset int64
		text   string
	}{
		{"nothing", func(files) {}, 4, "", 0, ""},
		{"an update before another", func(fl files) { flip(fl, log1, update2At+20) }, 1, log1, update2At, "where update 2 should be"},
		{"an update before a seal", func(fl files) { flip(fl, log1, update3At+20) }, 2, log1, update3At, "where update 3 should be"},
		{"a log that ends before an update, and later logs", func(fl files) { fl[log1] = fl[log1][:update3At] }, 2, log1, update3At, "where update 3 should be"},
		{"the seal before a log in use", func(fl files) { fl[log1] = fl[log1][:seal1At] }, 3, log1, seal1At, "where update 4 should be"},
		{"the seal before the last log, in use", func(fl files) { delete(fl, log4); fl[log1] = fl[log1][:seal1At] }, 3, log1, seal1At, "where update 4 should be"},
		{"the seal before a log that is not in use", func(fl files) { fl[log3] = fl[log3][:seal3At] }, 4, "", 0, ""},
		{"an update before a log that is not in use", func(fl files) { fl[log3] = fl[log3][:seal3At-1] }, 3, log3, headerLen, "where update 4 should be"},
		{"the seal of the last log", func(fl files) { delete(fl, log4); fl[log3] = fl[log3][:seal3At] }, 4, "", 0, ""},
		{"the last update", func(fl files) { delete(fl, log4); fl[log3] = fl[log3][:seal3At-1] }, 3, "", 0, ""},
		{"an update before another, in the only log", func(fl files) {
			maps.DeleteFunc(fl, func(name string, _ []byte) bool { return name != log0 })
			fl[log0] = two[log0]
			flip(fl, log0, headerLen+20)
		}, 0, log0, headerLen, "where update 1 should be"},
		{"the last update, and a log that was given up", func(fl files) {
			maps.DeleteFunc(fl, func(name string, _ []byte) bool { return name != log0 })
			fl[log0] = replace(two[log0], headerLen+2*entryLen+20+30-1, []byte{0xff})
			fl[log1] = voidLog(two[log0], 1)
		}, 1, "", 0, ""},
		{"a log that is sealed without updates", func(fl files) {
			header := fl[log4][:headerLen]
			fl[log4] = slices.Concat(header, numbered(header, 5, true, 0, control(1, 0, digestOf(header))))
		}, 4, log4, 0, "a log without updates is sealed"},
		{"a log in the middle", func(fl files) { delete(fl, log1) }, 1, log1, 0, "the file is missing, and with it the updates after 1"},
		{"a log in the middle, and all snapshots", func(fl files) {
			delete(fl, log1)
			delete(fl, snap1)
			delete(fl, snap3)
		}, 1, log1, 0, "the file is missing, and with it the updates after 1"},
	} {
		fl := maps.Clone(whole)
		tt.harm(fl)
		n, err := readUpdates(t, fl, 1)
		var damage *store.CorruptError
		switch {
		case n != tt.n:
			t.Errorf("%s: %d updates, want %d", tt.what, n, tt.n)
		case tt.file == "":
			if err != nil {
				t.Errorf("%s: %v", tt.what, err)
			}
		case !errors.As(err, &damage) || filepath.Base(damage.Path) != tt.file || damage.Offset != tt.offset || !strings.Contains(err.Error(), tt.text):
			t.Errorf("%s: got %v, want offset %d of %s, %q", tt.what, err, tt.offset, tt.file, tt.text)
		}
	}
}

// Updates that were dropped, or never made, are not retained.
func TestReadUpdatesOfWhatIsNotRetained(t *testing.T) {
	whole := checkedStore(t)
	unsealed, _ := build(t, "/unsealed", 9, 20, 30, killed)
	dropped := maps.Clone(whole)
	for _, name := range []string{log0, log1, snap1} {
		delete(dropped, name)
	}
	behind := maps.Clone(whole) // the log before those that were dropped came back
	delete(behind, log1)
	delete(behind, snap1)
	for _, tt := range []struct {
		what    string
		fl      files
		from, n uint64
		is      error
	}{
		{"the next one", whole, 5, 0, nil},
		{"one after the next", whole, 6, 0, store.ErrNotRetained},
		{"the next one of a log without a seal", unsealed, 3, 0, nil},
		{"one after it", unsealed, 4, 0, store.ErrNotRetained},
		{"the last dropped", dropped, 3, 0, store.ErrNotRetained},
		{"the first that was kept", dropped, 4, 1, nil},
		{"one before those that were dropped", behind, 1, 1, store.ErrNotRetained},
	} {
		if n, err := readUpdates(t, tt.fl, tt.from); n != tt.n || !errors.Is(err, tt.is) {
			t.Errorf("%s: %d updates and %v, want %d and %v", tt.what, n, err, tt.n, tt.is)
		}
	}
}

// A follower of an open store is told of damage in what was durable, also of its
// last update, after which nothing stands.
func TestUpdatesTellsDamage(t *testing.T) {
	const dir = "/follower"
	for _, tt := range []struct {
		name string
		at   int
		n    uint64
	}{
		{log0, headerLen, 0},
		{log1, update3At, 2},
		{log3, headerLen, 3},
		{log4, headerLen, 4},
	} {
		mem, _ := memory(t, dir)
		s := open(t, dir, &plainMachine{}, &store.Options{KeepSnapshots: 9, SnapshotBytes: -1})
		for i, size := range []int{20, 30, 40, 50, 60} {
			if i == 1 || i == 3 || i == 4 {
				check(t, s.Snapshot(t.Context()))
			}
			update(t, s, strings.Repeat("u", size))
		}
		f, err := mem.Open(filepath.Join(dir, tt.name), fsys.ReadWrite, 0)
		check(t, err)
		_, err = f.WriteAt([]byte{0xff}, int64(tt.at+20))
		check(t, errors.Join(err, f.Close()))
		ctx, cancel := context.WithCancel(t.Context())
		n, err := countUpdates(t, until(s.Updates(ctx, 1), 5, cancel), 1) // it would wait for more
		cancel()
		var damage *store.CorruptError
		if n != tt.n || !errors.As(err, &damage) || filepath.Base(damage.Path) != tt.name || damage.Offset != int64(tt.at) {
			t.Errorf("offset %d of %s: %d updates and %v", tt.at, tt.name, n, err)
		}
		s.Close()
	}
}

// What a follower reads is what is new, and not the space that is set aside.
func TestUpdatesReadsWhatIsNew(t *testing.T) {
	const dir = "/new"
	_, f := memory(t, dir)
	s := open(t, dir, &plainMachine{}, nil)
	next, stop := iter.Pull2(s.Updates(t.Context(), 1))
	defer stop()
	for i := range 20 {
		update(t, s, "some update")
		read := int64(0)
		f.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpRead {
				read += op.Len
			}
		})
		_, err, _ := next()
		f.OnOp(nil)
		check(t, err)
		if read > record.BlockSize {
			t.Errorf("update %d: %d bytes were read", i+1, read)
		}
	}
	s.Close()
}

// A context that ends ends both kinds of sequences, and only ReadUpdates tells.
func TestUpdatesEndWithTheirContext(t *testing.T) {
	const dir = "/ends"
	mount(t, dir, checkedStore(t).mem(t, dir))
	s := open(t, dir, &plainMachine{}, nil)
	for after := uint64(0); after <= 4; after++ {
		for what, updates := range map[string]func(context.Context) iter.Seq2[store.Update, error]{
			"ReadUpdates": func(ctx context.Context) iter.Seq2[store.Update, error] { return store.ReadUpdates(ctx, dir, 1) },
			"Updates":     func(ctx context.Context) iter.Seq2[store.Update, error] { return s.Updates(ctx, 1) },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			if after == 0 {
				cancel()
			}
			n, err := countUpdates(t, until(updates(ctx), after, cancel), 1)
			cancel()
			if told := errors.Is(err, context.Canceled); n != after || told != (what == "ReadUpdates") || !told && err != nil {
				t.Errorf("%s, ended after %d: %d updates and %v", what, after, n, err)
			}
		}
	}
}

// Whatever ends a sequence, its files are closed.
func TestUpdatesCloseTheirFiles(t *testing.T) {
	const dir = "/files"
	whole := checkedStore(t)
	damaged := maps.Clone(whole)
	damaged[log1] = replace(whole[log1], update3At+20, []byte{1, 2, 3, 4})
	closes := func(what string, f *faultfs.FS, updates iter.Seq2[store.Update, error]) {
		t.Helper()
		for last := uint64(1); last <= 4; last++ {
			left, all := leftOpen(f, func() {
				for u := range updates {
					if u.Index == last {
						break
					}
				}
			})
			if left != 0 || all == 0 {
				t.Errorf("%s, up to %d: %d of %d files were left open", what, last, left, all)
			}
		}
	}
	f := faultfs.New(damaged.mem(t, dir))
	unmount := storefs.Mount(dir, f)
	closes("ReadUpdates with damage", f, store.ReadUpdates(t.Context(), dir, 1))
	unmount()
	f = faultfs.New(whole.mem(t, dir))
	mount(t, dir, f)
	closes("ReadUpdates", f, store.ReadUpdates(t.Context(), dir, 1))
	closes("Updates", f, open(t, dir, &plainMachine{}, nil).Updates(t.Context(), 1))
}

// What fails while ReadUpdates finds out whether it is at the end is an error,
// and taken neither for the end nor for damage.
func TestFaultsAtTheEndOfUpdates(t *testing.T) {
	const dir = "/end"
	unsealed, _ := build(t, "/unsealed", 9, 20, 30, killed)
	begun := maps.Clone(unsealed)
	begun["00000000000000000002.log"] = voidLog(unsealed[log0], 2)
	missing := checkedStore(t)
	delete(missing, log1)
	for what, fl := range map[string]files{"no seal": unsealed, "a log not in use": begun, "a missing log": missing} {
		for _, kind := range []faultfs.Kind{faultfs.OpOpen, faultfs.OpList, faultfs.OpStat, faultfs.OpRead} {
			for n := int64(1); ; n++ {
				f := faultfs.New(fl.mem(t, dir))
				fault := f.Inject(faultfs.Fault{Kinds: kind, N: n, Err: syscall.EIO})
				unmount := storefs.Mount(dir, f)
				_, err := countUpdates(t, store.ReadUpdates(t.Context(), dir, 1), 1)
				unmount()
				if fault.Hits() == 0 {
					if n == 1 {
						t.Errorf("%s: no %v was hit", what, kind)
					}
					break
				}
				if !errors.Is(err, syscall.EIO) || errors.Is(err, store.ErrCorrupt) {
					t.Errorf("%s: with %v number %d failing: %v", what, kind, n, err)
				}
			}
		}
	}
}
