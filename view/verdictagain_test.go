package view

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// invert inverts a byte of a file that somebody may have open.
func invert(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	if err == nil {
		b[0] ^= 0xff
		_, err = f.WriteAt(b[:], off)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// add appends to a file.
func add(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// wantVerdict fails the test unless the verdict of h has that level and text.
func wantVerdict(t *testing.T, h *handler, when, level, text string) summary {
	t.Helper()
	s := noticed(t, h)
	if s.Verdict.Level != level || !strings.Contains(s.Verdict.Text, text) {
		t.Errorf("%s: the verdict is %+v on %+v; want %s: %s", when, s.Verdict, s.Damages, level, text)
	}
	return s
}

// A damaged store is judged again when its files are others, also if there are as many, and
// the damage is the same.
func TestVerdictFollowsTheFiles(t *testing.T) {
	dir, aside := bankStore(t, 300), t.TempDir()
	h := fresh(dir, nil)
	const before, after = "00000000000000000100.snap", "00000000000000000200.snap"
	invert(t, filepath.Join(dir, "00000000000000000100.log"), 3000)
	move := func(name, from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	move(before, dir, aside)
	had := wantVerdict(t, h, "with a snapshot after the damage", "warn", "after update 300, is intact")
	for range 2 {
		move(after, dir, aside)
		move(before, aside, dir)
		has := wantVerdict(t, h, "with one before it", "bad", "the current state too")
		if len(has.Damages) != len(had.Damages) || len(has.Files) != len(had.Files) {
			t.Errorf("the test shows nothing: the damage is %+v and %+v", has.Damages, had.Damages)
		}
		move(before, dir, aside)
		move(after, aside, dir)
		wantVerdict(t, h, "with the one after it again", "warn", "after update 300, is intact")
	}
}

// The verdict on a store that runs on with damage on the disk: the next snapshot has its
// state again, and updates after that are named.
func TestVerdictFollowsARunningStore(t *testing.T) {
	for name, c := range map[string]struct {
		off  int64
		lost string // the first update that is
	}{"a record": {3000, ""}, "the header": {30, "Updates 1 to 60 can't be read"}} {
		dir := filepath.Join(t.TempDir(), "live")
		s, err := store.Open(dir, newBank(), &store.Options{SnapshotBytes: -1, KeepSnapshots: 9, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		update := func(n int) {
			t.Helper()
			for range n {
				if _, err := s.Update(t.Context(), []byte(`{"from":"ada","to":"bo","amount":1}`)); err != nil {
					t.Fatal(err)
				}
			}
		}
		h := fresh(dir, &Options{Stats: s.Stats})
		update(50)
		wantVerdict(t, h, name+" is sound", "ok", "Sound")
		invert(t, filepath.Join(dir, "00000000000000000000.log"), c.off)
		update(10) // and the time of the file is another
		wantVerdict(t, h, name+" is damaged", "bad", "the current state on the disk too")
		if err := s.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, h, name+", after a snapshot", "warn", "after update 60, is intact. "+c.lost)
		update(15)
		wantVerdict(t, h, name+", after more updates", "warn", "after update 75, is intact. "+c.lost)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A backup that is still being written is whole once it is, and not any more when something
// comes after it.
func TestVerdictFollowsABackup(t *testing.T) {
	m := newBank()
	s, err := store.Open(bankStore(t, 50), m, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if _, err := s.Backup(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bank.backup")
	h := fresh(path, nil)
	at := 0
	for _, n := range []int{whole.Len() / 2, whole.Len()/2 + 7, whole.Len() - 1} {
		add(t, path, whole.Bytes()[at:n])
		at = n
		wantVerdict(t, h, fmt.Sprintf("%d bytes of %d", n, whole.Len()), "bad", "not whole")
	}
	add(t, path, whole.Bytes()[at:])
	wantVerdict(t, h, "all of it", "ok", "Sound")
	add(t, path, []byte("more"))
	wantVerdict(t, h, "and more", "bad", "not whole")
}

// A store that is still being copied is sound once it is whole.
func TestVerdictFollowsACopy(t *testing.T) {
	dir := bankStore(t, 300)
	path := filepath.Join(dir, "00000000000000000100.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := fresh(dir, nil)
	for _, n := range []int{40, 3000, 5000} {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if s := noticed(t, h); len(s.Damages) != 1 || s.Verdict.Level == "ok" {
			t.Errorf("%d bytes of %d: the verdict is %+v, the damage %+v", n, len(whole), s.Verdict, s.Damages)
		}
		add(t, path, whole[n:])
		wantVerdict(t, h, fmt.Sprintf("copied on from %d on", n), "ok", "Sound")
	}
}

// Which updates damage has cost is told by the log after it, also if that comes later.
func TestVerdictFollowsACopyOfDamage(t *testing.T) {
	dir, copied := bankStore(t, 300), filepath.Join(t.TempDir(), "copy")
	invert(t, filepath.Join(dir, "00000000000000000000.log"), 30) // in the header
	if err := os.Mkdir(copied, 0o700); err != nil {
		t.Fatal(err)
	}
	h := fresh(copied, nil)
	for _, c := range []struct{ name, level, text string }{
		{"00000000000000000000.log", "bad", "Updates from 1 on can't be read"},
		{"00000000000000000100.log", "bad", "Updates 1 to 100 can't be read"},
		{"00000000000000000100.snap", "bad", "Updates 1 to 100 can't be read"}, // the last log is sealed
		{"00000000000000000200.log", "bad", "Updates 1 to 100 can't be read"},
		{"00000000000000000300.log", "warn", "after update 300, is intact. Updates 1 to 100 can't be read"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, c.name))
		if err != nil {
			t.Fatal(err)
		}
		add(t, filepath.Join(copied, c.name), b)
		wantVerdict(t, h, "with "+c.name, c.level, c.text)
	}
}

// Damage in a state file is of no consequence once its writer has written a snapshot.
func TestVerdictFollowsAStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	update := func(n int) {
		t.Helper()
		for i := range n {
			if err := w.Update(fmt.Appendf(nil, "line %d", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	update(100)
	h := fresh(path, nil)
	wantVerdict(t, h, "whole", "ok", "Sound")
	invert(t, path, 500)
	update(10)
	wantVerdict(t, h, "damaged", "bad", "the current state too")
	if err := w.Snapshot([]byte("a state")); err != nil {
		t.Fatal(err)
	}
	s := wantVerdict(t, h, "after a snapshot", "warn", "of no consequence")
	if len(s.Damages) != 1 || s.Damages[0].Place != inspect.Obsolete.String() {
		t.Errorf("after a snapshot the damage is %+v", s.Damages)
	}
	update(10)
	wantVerdict(t, h, "after more updates", "warn", "of no consequence")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Damage of the current state is bad also if more damages come before it than are listed.
func TestVerdictKnowsDamageThatIsNotListed(t *testing.T) {
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	var broken []int
	update := func(n int) {
		for i := range n {
			if i%2 == 1 {
				broken = append(broken, b.Len()+30)
			}
			if err := w.Update([]byte("an update of some length")); err != nil {
				t.Fatal(err)
			}
		}
	}
	update(2*maxDamage + 100)
	if err := w.Snapshot([]byte("a state")); err != nil {
		t.Fatal(err)
	}
	obsolete := len(broken)
	update(3)
	if len(broken) != obsolete+1 {
		t.Fatalf("of %d updates some are broken", len(broken))
	}
	for level, n := range map[string]int{"warn": obsolete, "bad": obsolete + 1} {
		file := bytes.Clone(b.Bytes())
		for _, at := range broken[:n] {
			file[at] ^= 0xff
		}
		path := filepath.Join(t.TempDir(), "app.state")
		add(t, path, file)
		s := wantVerdict(t, fresh(path, nil), fmt.Sprintf("%d damages", n), level, "Damaged")
		if len(s.Damages) != maxDamage || s.More != n-maxDamage {
			t.Errorf("%d damages are listed, and %d more, of %d", len(s.Damages), s.More, n)
		}
	}
}

// What failed and is no damage may work the next time.
func TestACheckThatFailedIsMadeAgain(t *testing.T) {
	dir := bankStore(t, 300)
	breakFile(t, dir, "00000000000000000000.log", 3000, 1)
	h := fresh(dir, nil)
	wantVerdict(t, h, "damaged", "warn", "is intact")
	for _, c := range []struct {
		err   error
		level string
	}{{errors.New("the disk was away"), "warn"}, {fmt.Errorf("a test: %w", store.ErrCorrupt), "bad"}} {
		h.source.mu.Lock()
		h.source.state.err = c.err
		h.source.mu.Unlock()
		wantVerdict(t, h, c.err.Error(), c.level, "Damaged")
	}
}
