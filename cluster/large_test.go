package cluster

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A bulk is a machine whose state is n, the number of updates, and so many bytes that
// nobody keeps.
type bulk struct {
	n    uint64
	size int64
}

func (m *bulk) Apply([]byte) (any, error) { m.n++; return m.n, nil }

func (m *bulk) Snapshot() (io.WriterTo, error) {
	n, left := m.n, m.size
	return writerTo(func(w io.Writer) error {
		if err := binary.Write(w, binary.LittleEndian, n); err != nil {
			return err
		}
		piece := make([]byte, 64<<10)
		for i := range piece {
			piece[i] = byte(i * i >> 3)
		}
		for ; left > 0; left -= int64(len(piece)) {
			piece[0]++
			if _, err := w.Write(piece[:min(left, int64(len(piece)))]); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

func (m *bulk) Restore(r io.Reader) error {
	if err := binary.Read(r, binary.LittleEndian, &m.n); err != nil {
		return err
	}
	got, err := io.Copy(io.Discard, r)
	if err == nil && got != m.size {
		err = errors.New("the state has another size")
	}
	return err
}

// TestTheLeaderKeepsItsLeaseWhileALargeSnapshotIsInstalled sends a snapshot of 64 MiB, or
// of STATEIO_CLUSTER_SNAPSHOT bytes and with the default heartbeat, to a node that was away,
// while 16 clients write. The leader must stay one, in the same term, and no update may fail.
func TestTheLeaderKeepsItsLeaseWhileALargeSnapshotIsInstalled(t *testing.T) {
	size, heartbeat := int64(64<<20), 2*time.Second
	if v := os.Getenv("STATEIO_CLUSTER_SNAPSHOT"); v != "" {
		var err error
		if size, err = strconv.ParseInt(v, 10, 64); err != nil {
			t.Fatal(err)
		}
		heartbeat = 0 // the default
	}
	noLeaks(t)
	tr := newTrial(t, 3, func(i int, o *Options) {
		small(i, o)
		o.Heartbeat = heartbeat
	})
	tr.open = func(i int) (*Node, error) { return Open(tr.path(i), &bulk{size: size}, tr.opts[i]) }
	for i := range 3 {
		tr.start(i)
	}
	lead, away := tr.leader(), tr.follower()
	update(t, tr.nodes[away], "once")
	term := tr.nodes[lead].raft.CurrentTerm()
	tr.crash(away)
	outrun(t, tr, tr.nodes[lead])

	began := time.Now()
	n := tr.start(away)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	defer end()
	gaps := make([]time.Duration, 16)
	for i := range gaps {
		wg.Go(func() {
			for last := time.Now(); ; {
				if _, err := tr.nodes[lead].Update(t.Context(), []byte("on")); err != nil {
					t.Errorf("during the installation: %v", err)
					return
				}
				now := time.Now()
				gaps[i], last = max(gaps[i], now.Sub(last)), now
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for n.fsm.restores.Load() == 0 && !t.Failed() {
		if time.Since(began) > 10*time.Minute {
			t.Fatal("the snapshot does not arrive")
		}
		if err := tr.nodes[lead].Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	end()
	if now := tr.nodes[lead].raft.CurrentTerm(); now != term {
		t.Errorf("the term was %d and is %d: another leader was elected", term, now)
	}
	if got, want := update(t, n, "last"), tr.nodes[lead].Index(); got != want {
		t.Errorf("the node that was away has made %v updates, and there were %d", got, want)
	}
	longest := time.Duration(0)
	for _, g := range gaps {
		longest = max(longest, g)
	}
	t.Logf("%d MiB were installed in %v; the longest wait of 16 clients for an update was %v", size>>20, took, longest)
}
