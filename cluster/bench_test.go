package cluster

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// A tally is a machine that costs next to nothing.
type tally struct{ n int }

func (m *tally) Apply([]byte) (any, error) { m.n++; return nil, nil }
func (m *tally) Snapshot() (io.WriterTo, error) {
	n := m.n
	return writerTo(func(w io.Writer) error { _, err := fmt.Fprintln(w, n); return err }), nil
}

func (m *tally) Restore(r io.Reader) error {
	_, err := fmt.Fscanln(r, &m.n)
	return err
}

// measure makes b.N updates by so many clients, and reports their rate, and the time of
// processors, of all nodes, which other programs on the machine change less.
func measure(b *testing.B, clients int, do func() error) {
	b.Helper()
	if err := do(); err != nil { // there is a leader
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	began := cpuTime()
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// benchTrial is a cluster of three whose machines cost nothing.
func benchTrial(b *testing.B) (nodes []*Node, machines []*tally, lead int) {
	b.Helper()
	tr := newTrial(b, 3, func(_ int, o *Options) { o.Heartbeat = 500 * time.Millisecond })
	for i := range 3 {
		m := &tally{}
		n, err := Open(tr.path(i), m, tr.opts[i])
		if err != nil {
			b.Fatal(err)
		}
		tr.nodes[i], nodes, machines = n, append(nodes, n), append(machines, m)
	}
	return nodes, machines, tr.leader()
}

var clientCounts = []int{1, 16, 256}

// BenchmarkUpdate makes updates of 128 bytes on three nodes: on the leader, on a
// follower, and on raft with its defaults, one call of raft.Apply an update.
func BenchmarkUpdate(b *testing.B) {
	u := make([]byte, 128)
	for _, clients := range clientCounts {
		b.Run(fmt.Sprintf("clients=%d/raft", clients), func(b *testing.B) {
			r := plainRaft(b)
			measure(b, clients, func() error { return r.Apply(u, 0).Error() })
		})
		for _, where := range []string{"leader", "follower"} {
			b.Run(fmt.Sprintf("clients=%d/%s", clients, where), func(b *testing.B) {
				nodes, _, lead := benchTrial(b)
				n := nodes[lead]
				if where == "follower" {
					n = nodes[(lead+1)%3]
				}
				measure(b, clients, func() error { _, err := n.Update(context.Background(), u); return err })
				s := n.Stats()
				b.ReportMetric(float64(s.Updates)/float64(s.Entries), "updates/entry")
			})
		}
	}
}

// BenchmarkUpdateOfSize makes updates of several sizes on the leader of three nodes. The time of
// processors is that of all nodes, and of the clients; the bytes are those of the log of each node.
func BenchmarkUpdateOfSize(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 16 << 10, 256 << 10, 4 << 20} {
		clients := min(256, max(4, (4<<20)/size))
		b.Run(fmt.Sprintf("bytes=%d/clients=%d", size, clients), func(b *testing.B) {
			nodes, _, lead := benchTrial(b)
			n, u := nodes[lead], make([]byte, size)
			measure(b, clients, func() error { _, err := n.Update(context.Background(), u); return err })
			s := n.Stats()
			b.ReportMetric(float64(s.Updates)/float64(s.Entries), "updates/entry")
			b.ReportMetric(float64(n.fsm.total().bytes)/float64(s.Updates), "log-B/op")
		})
	}
}

// BenchmarkView reads by View, and asks raft whether it leads, which is a part of
// reading, and not a sufficient one.
func BenchmarkView(b *testing.B) {
	for _, clients := range clientCounts {
		b.Run(fmt.Sprintf("clients=%d/raft", clients), func(b *testing.B) {
			r := plainRaft(b)
			measure(b, clients, func() error { return r.VerifyLeader().Error() })
		})
		for _, where := range []string{"leader", "follower"} {
			b.Run(fmt.Sprintf("clients=%d/%s", clients, where), func(b *testing.B) {
				nodes, _, lead := benchTrial(b)
				n := nodes[lead]
				if where == "follower" {
					n = nodes[(lead+1)%3]
				}
				measure(b, clients, func() error { return n.View(context.Background(), func() error { return nil }) })
			})
		}
	}
}

// plainFSM is what raft applies to in the comparison.
type plainFSM struct{ tally }

func (f *plainFSM) Apply(l *raft.Log) any               { _, _ = f.tally.Apply(l.Data); return nil }
func (f *plainFSM) Snapshot() (raft.FSMSnapshot, error) { return plainSnapshot{}, nil }
func (f *plainFSM) Restore(r io.ReadCloser) error       { return r.Close() }

type plainSnapshot struct{}

func (plainSnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (plainSnapshot) Release()                             {}

// plainRaft is raft on raft-wal, on three nodes, all with their defaults. It returns
// the leader.
func plainRaft(b *testing.B) *raft.Raft {
	b.Helper()
	var conf raft.Configuration
	var trans []*raft.NetworkTransport
	for i := range 3 {
		t, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		trans = append(trans, t)
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(fmt.Sprint(i)), Address: t.LocalAddr()})
	}
	var rs []*raft.Raft
	for i, t := range trans {
		rs = append(rs, plainNode(b, fmt.Sprint(i), t, conf))
	}
	var lead *raft.Raft
	eventually(b, "raft has a leader", func() bool {
		for _, r := range rs {
			if r.State() == raft.Leader {
				lead = r
			}
		}
		return lead != nil
	})
	return lead
}

func plainNode(b *testing.B, id string, t *raft.NetworkTransport, first raft.Configuration) *raft.Raft {
	b.Helper()
	dir := b.TempDir()
	logger := hclog.NewNullLogger()
	w, err := wal.Open(mkdir(b, filepath.Join(dir, "wal")), wal.WithLogger(logger))
	if err != nil {
		b.Fatal(err)
	}
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, logger)
	if err != nil {
		b.Fatal(err)
	}
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = raft.ServerID(id), logger
	if err := raft.BootstrapCluster(c, w, w, snaps, t, first); err != nil {
		b.Fatal(err)
	}
	r, err := raft.NewRaft(c, &plainFSM{}, w, w, snaps, t)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			b.Error(err)
		}
		_ = t.Close() // shut down by raft
		if err := w.Close(); err != nil {
			b.Error(err)
		}
	})
	return r
}
