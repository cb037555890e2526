package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// What the name of a damaged snapshot proves is not passed over: verify says up to where
// there were updates, and calls no older state the current one.
func TestVerifySaysUpToWhereUpdatesWereThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	newStore(t, dir, 3)
	const snap8 = "00000000000000000008.snap"
	if err := os.WriteFile(filepath.Join(dir, snap8), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := runStateio(t, 1, nil, "verify", dir)
	if strings.Contains(out, "is intact") || !strings.Contains(out, "updates up to at least 8 were there, and are lost from 4 on") {
		t.Errorf("verify says %s", out)
	}
	out, _ = runStateio(t, 1, nil, "verify", "--json", dir)
	if !strings.Contains(out, `"verdict":"lost"`) || !strings.Contains(out, `"intact":3`) {
		t.Errorf("verify --json says %s", out)
	}
}

// newStore makes a store with n updates.
func newStore(t *testing.T, dir string, n int) {
	t.Helper()
	s, err := store.Open(dir, &blindMachine{}, &store.Options{SnapshotBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := s.Update(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
