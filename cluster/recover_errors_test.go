package cluster

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// discerning is a machine of an earlier release, which does not understand all updates.
type discerning struct{ *moody }

func (discerning) CheckUpdate(u []byte) error {
	if strings.HasPrefix(string(u), "set ") {
		return errRefused
	}
	return nil
}

func (m discerning) Apply(u []byte) (any, error) {
	if err := m.CheckUpdate(u); err != nil {
		return nil, err
	}
	return m.moody.Apply(u)
}

// TestRecoverSaysWhichEntryItCanNotApply recovers with a machine of an earlier release, and with
// one whose functions panic and end their goroutines: an operator gets an error, which says
// where.
func TestRecoverSaysWhichEntryItCanNotApply(t *testing.T) {
	noLeaks(t)
	tr := startTrial(t, 1, nil)
	n := tr.nodes[0]
	update(t, n, "set x 1")
	first := n.Stats().Applied
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.stop(0)
	try := func(want string, in string, do func(), m func(*moody) store.Machine) {
		t.Helper()
		quirk := newMoody()
		quirk.set(in, do)
		r, err := Recover(t.Context(), tr.path(0), m(quirk), io.Discard, tr.opts[0])
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", in, r, err)
		}
	}
	plain := func(m *moody) store.Machine { return m }
	try("panic in Restore of the machine", "Restore", func() { panic("a bad day") }, plain)
	try("runtime.Goexit", "Restore", runtime.Goexit, plain)
	// The same without the snapshot.
	if err := os.RemoveAll(filepath.Join(tr.path(0), "snapshots")); err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`entry \d+ of the log can't be applied`)
	_, err := Recover(t.Context(), tr.path(0), discerning{newMoody()}, io.Discard, tr.opts[0])
	if !errors.Is(err, errRefused) || !entry.MatchString(err.Error()) || !strings.Contains(err.Error(), "update 1 was made by another release") {
		t.Errorf("an update of a later release, in an entry up to %d: %v", first, err)
	}
	try("of the log can't be applied", "Apply", func() { panic("a bad day") }, plain)
	try("a bad day", "Apply", func() { panic("a bad day") }, plain)
	try("runtime.Goexit", "Apply", runtime.Goexit, plain)
	if r, _ := recovered(t, tr, 0); r.Index != 1 {
		t.Errorf("with a machine that does: %+v", r)
	}
}

// TestRecoverOfADamagedNodeSaysWhatCanBeDone: there are no other members that could rebuild it.
func TestRecoverOfADamagedNodeSaysWhatCanBeDone(t *testing.T) {
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add x")
	tr.stop(0)
	if err := os.Remove(filepath.Join(tr.path(0), "wal", "wal-meta.db")); err != nil {
		t.Fatal(err)
	}
	_, err := Recover(t.Context(), tr.path(0), newLedger(), io.Discard, tr.opts[0])
	if !errors.Is(err, store.ErrCorrupt) || !strings.HasSuffix(err.Error(), toRecover) || strings.Contains(err.Error(), toRejoin) {
		t.Errorf("Recover: %v", err)
	}
	n, err := Open(tr.path(0), newLedger(), tr.opts[0])
	if !errors.Is(err, store.ErrCorrupt) || !strings.HasSuffix(err.Error(), toRejoin) || strings.Contains(err.Error(), toRecover) {
		t.Errorf("Open: %v", err)
		if err == nil {
			_ = n.Close()
		}
	}
}

// TestRecoverKnowsTheClusterThatTheLogNames recovers what a node had that was killed when it had
// the first entries in its log, and had applied none.
func TestRecoverKnowsTheClusterThatTheLogNames(t *testing.T) {
	tr := startTrial(t, 3, nil)
	for i := range 3 {
		update(t, tr.nodes[i], "add x")
	}
	want := tr.nodes[0].Status().Cluster
	for i := range 3 {
		tr.stop(i)
	}
	path := filepath.Join(tr.path(0), nodeFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	as := regexp.MustCompile("cluster .*\n").ReplaceAll(b, nil) // as it was then
	if err := os.WriteFile(path, as, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, _ := recovered(t, tr, 0); r.Cluster != want || want == "" {
		t.Errorf("the log names cluster %q, and Recover %q", want, r.Cluster)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(as) {
		t.Errorf("%s was changed: %q, %v", path, now, err)
	}
}
