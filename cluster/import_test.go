package cluster

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio/store"
)

func TestAStoreBecomesACluster(t *testing.T) {
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
