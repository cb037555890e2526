package cluster

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// A total is a typed machine. Its updates are numbers to add, of which it refuses 0.
type total struct{ n int }

func (s *total) Apply(update int) (int, error) {
	if update == 0 {
		return 0, errRefused
	}
	s.n += update
	return s.n, nil
}

func (s *total) Snapshot() (io.WriterTo, error) {
	n := s.n
	return writerTo(func(w io.Writer) error { _, err := fmt.Fprint(w, n); return err }), nil
}

func (s *total) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &s.n)
	return err
}

// totalUpdate returns an update of a release that writes that version.
func totalUpdate(t *testing.T, version, n int) []byte {
	t.Helper()
	b, err := store.Versions[int]{Current: version}.Append(nil, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An update that another release has made and this one does not understand is in the
// state of other nodes. A node that took it for one that Apply refuses would go on with
// another state.
func TestAnUpdateOfALaterReleaseStopsTheNode(t *testing.T) {
	f := newFSM(store.Untyped(&total{}, store.Versions[int]{Current: 1}), nil)
	if result, err := f.apply(totalUpdate(t, 1, 5)); result != 5 || err != nil {
		t.Fatalf("%v, %v", result, err)
	}
	if _, err := f.apply(totalUpdate(t, 1, 0)); !errors.Is(err, errRefused) {
		t.Fatalf("an update that Apply refuses: %v", err)
	}
	defer func() {
		if told := fmt.Sprint(recover()); !strings.Contains(told, "entry 7: update 2 was made by another release") || !strings.Contains(told, "version 2") {
			t.Errorf("the node ends with: %s", told)
		}
	}()
	session := f.table.begin([nonceSize]byte{1}, 0)
	entry := append(appendEntryHeader(nil, 1), encodeGroup(session, 1, encodedUpdate{seq: 1, data: totalUpdate(t, 2, 5)})...)
	t.Errorf("it goes on, with: %v", f.ApplyBatch([]*raft.Log{{Index: 7, Type: raft.LogCommand, Data: entry}}))
}

// Nobody can stop the nodes by an update that none of them understands: it is not sent.
func TestAnUpdateThatTheMachineDoesNotUnderstandIsNotSent(t *testing.T) {
	tr := newTrial(t, 1, nil)
	tr.open = func(i int) (*Node, error) {
		return Open(tr.path(i), store.Untyped(&total{}, store.Versions[int]{Current: 1}), tr.opts[i])
	}
	n := tr.start(0)
	for _, update := range [][]byte{totalUpdate(t, 2, 5), []byte("nonsense")} {
		if _, err := n.Update(t.Context(), update); !errors.Is(err, store.ErrUpdateVersion) {
			t.Errorf("Update(%q): %v", update, err)
		}
		if _, err := n.UpdateOnce(t.Context(), "key", update); !errors.Is(err, store.ErrUpdateVersion) {
			t.Errorf("UpdateOnce(%q): %v", update, err)
		}
		if _, err := n.Submit(update); !errors.Is(err, store.ErrUpdateVersion) {
			t.Errorf("Submit(%q): %v", update, err)
		}
	}
	if result, err := n.Update(t.Context(), totalUpdate(t, 1, 5)); result != 5 || err != nil {
		t.Errorf("then: %v, %v", result, err)
	}
}
