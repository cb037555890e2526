package cluster

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/store"
)

func TestAStoreBecomesACluster(t *testing.T) {
	concurrently(t)
	s, err := store.Open(filepath.Join(t.TempDir(), "store"), newLedger(), &store.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	for range 7 {
		if _, err := s.Update(t.Context(), []byte("add x")); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	if _, err := s.Backup(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tr := newTrial(t, 3, nil)
	joining(tr)
	backup := bytes.NewReader(buf.Bytes())
	if err := Import(t.Context(), tr.path(0), bytes.NewReader(buf.Bytes()[:100]), 100, tr.opts[0]); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a backup that was cut: %v", err)
	}
	if err := Import(t.Context(), tr.path(0), backup, backup.Size(), tr.opts[0]); err != nil {
		t.Fatal(err)
	}
	if err := Import(t.Context(), tr.path(0), backup, backup.Size(), tr.opts[0]); !errors.Is(err, fs.ErrExist) {
		t.Errorf("importing twice: %v", err)
	}
	for i := range tr.nodes {
		tr.start(i)
		voters(t, tr.nodes[0], i+1)
	}
	if got := update(t, tr.nodes[2], "add x"); got != 8 {
		t.Errorf("the sum is %v", got)
	}
	for i, n := range tr.nodes {
		if err := n.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n.Index() != 8 {
			t.Errorf("node %d has index %d", i, n.Index())
		}
	}
	tr.crash(0)
	tr.start(0)
	equalStates(t, tr)
}

// TestTheDirectoryOfAStoreIsNotThatOfANode opens a node in the directory of a store, which
// runs, or is closed, and imports into it.
func TestTheDirectoryOfAStoreIsNotThatOfANode(t *testing.T) {
	tr := newTrial(t, 2, apart)
	dir := tr.path(0)
	s, err := store.Open(dir, newLedger(), &store.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), []byte("add x")); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	joins := *tr.opts[0]
	joins.Join = tr.addrs[1:]
	refused := func() {
		t.Helper()
		_, open := Open(dir, newLedger(), tr.opts[0])
		_, rejoin := Rejoin(t.Context(), dir, &joins)
		for _, err := range []error{open, rejoin, Import(t.Context(), dir, bytes.NewReader(backup.Bytes()), int64(backup.Len()), tr.opts[0])} {
			if !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "Backup") || !strings.Contains(err.Error(), "Import") {
				t.Errorf("the error is %v", err)
			}
			if !strings.HasPrefix(err.Error(), "cluster: ") || strings.Count(err.Error(), "cluster: ") > 1 {
				t.Errorf("the error does not name the package once: %v", err)
			}
		}
	}
	refused()
	if err := s.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refused()
	m := newLedger()
	if s, err = store.Open(dir, m, &store.Options{Logger: quiet(t)}); err != nil {
		t.Fatal("the store is not as it was: ", err)
	}
	if err := s.Close(); err != nil || m.Sums["x"] != 1 {
		t.Errorf("the store has %d updates, and closing it: %v", m.Sums["x"], err)
	}
	tr.start(1)
	tr.stop(1)
	if s, err := store.Open(tr.path(1), newLedger(), &store.Options{Logger: quiet(t)}); err == nil {
		t.Errorf("a store is opened in the directory of a node, and closing it: %v", s.Close())
	}
}

// A timedLedger notes what ApplyAt gets.
type timedLedger struct {
	*ledger
	index uint64
	at    time.Time
	back  bool // one of them did not go on
}

func (l *timedLedger) ApplyAt(at time.Time, index uint64, u []byte) (any, error) {
	l.back = l.back || index <= l.index || at.Before(l.at)
	l.index, l.at = index, at
	return l.Apply(u)
}

// TestIndexAndTimeGoOnOverBackups takes a state from a store to a node, by Backup to another
// one, by Recover to a third, and to a store again. The clock of the store was ahead.
func TestIndexAndTimeGoOnOverBackups(t *testing.T) {
	concurrently(t)
	ahead := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	is := newCluster()
	begin, err := storefile.EmptyBackup(storefile.Header{Store: is.cluster, Base: 10, Salt: 7, Time: ahead.UnixNano()})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "store")
	if err := store.Import(dir, bytes.NewReader(begin), int64(len(begin))); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(dir, &once{state: writerTo(func(w io.Writer) error { _, err := w.Write([]byte("{}")); return err })}, &store.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m := &timedLedger{ledger: newLedger(), index: 10, at: ahead}
	for i := range 3 {
		var log lines
		tr := newTrial(t, 1, func(_ int, o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		if err := Import(t.Context(), tr.path(0), bytes.NewReader(backup.Bytes()), int64(backup.Len()), tr.opts[0]); err != nil {
			t.Fatal(err)
		}
		n, err := Open(tr.path(0), m, tr.opts[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Index(); got != 10+uint64(i) {
			t.Errorf("node %d begins with index %d", i, got)
		}
		if err := n.WaitIndex(within(t, time.Minute), 10+uint64(i)); err != nil {
			t.Error(err)
		}
		update(t, n, "add x")
		if got := strings.Count(log.String(), "a clock that was ahead"); got != 1 {
			t.Errorf("that the clock was ahead is said %d times", got)
		}
		backup.Reset()
		if i == 0 {
			if _, err := n.Backup(t.Context(), &backup); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			var b []byte
			_, b = recovered(t, tr, 0)
			backup.Write(b)
		}
		info, err := store.VerifyBackup(t.Context(), bytes.NewReader(backup.Bytes()), int64(backup.Len()))
		if err != nil || info.Index != m.index || !info.Time.Equal(m.at) || info.Store != n.self.identity().cluster {
			t.Errorf("the backup says %+v, %v; ApplyAt got %d and %v", info, err, m.index, m.at)
		}
		if m.back || m.index != 11+uint64(i) || m.at.Before(ahead) {
			t.Errorf("on node %d ApplyAt got update %d at %v", i, m.index, m.at)
		}
	}
	last := filepath.Join(t.TempDir(), "store")
	if err := store.Import(last, bytes.NewReader(backup.Bytes()), int64(backup.Len())); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(last, m, &store.Options{Logger: quiet(t)}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Update(t.Context(), []byte("add x")); err != nil {
		t.Fatal(err)
	}
	if m.back || s.Index() != 14 || m.Sums["x"] != 4 {
		t.Errorf("the store is at index %d, with the sum %d", s.Index(), m.Sums["x"])
	}
}
