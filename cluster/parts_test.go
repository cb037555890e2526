package cluster

import (
	"bytes"
	"errors"
	"hash/crc32"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// filled returns n bytes of which neighbours differ.
func filled(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}

func TestEntriesInPartsAreTheSameWhenJoined(t *testing.T) {
	var entries []*raft.Log
	for i, n := range []int{0, 1, partBytes, partBytes + 1, 2 * partBytes, 5*partBytes + 7, 3} {
		entries = append(entries, &raft.Log{
			Index: uint64(i) + 9, Term: 2, Type: raft.LogCommand, Data: filled(n), Extensions: []byte{byte(i)}, AppendedAt: time.Unix(int64(i), 0),
		})
	}
	parts := inParts(entries)
	for _, p := range parts {
		if len(p.Data) > partBytes {
			t.Errorf("a part has %d bytes", len(p.Data))
		}
	}
	if len(parts) != 1+1+1+2+2+6+1 {
		t.Errorf("there are %d parts", len(parts))
	}
	got := joined(parts)
	if len(got) != len(entries) {
		t.Fatalf("%d entries became %d", len(entries), len(got))
	}
	for i, l := range got {
		if !bytes.Equal(l.Data, entries[i].Data) || !bytes.Equal(l.Extensions, entries[i].Extensions) || l.Index != entries[i].Index || l.Term != 2 || !l.AppendedAt.Equal(entries[i].AppendedAt) {
			t.Errorf("entry %d became another one", i)
		}
	}
}

func TestACallCarriesNotTooMuch(t *testing.T) {
	of := func(sizes ...int) (entries []*raft.Log) {
		for _, n := range sizes {
			entries = append(entries, &raft.Log{Data: make([]byte, n)})
		}
		return entries
	}
	for _, c := range []struct {
		entries []*raft.Log
		want    int
	}{{nil, 0}, {of(20), 1}, {of(20, 1), 1}, {of(4, 6, 1), 2}, {of(1, 2, 3), 3}, {of(1, 20), 1}} {
		if got := len(upToBytes(c.entries, 10)); got != c.want {
			t.Errorf("of %d entries %d are sent, want %d", len(c.entries), got, c.want)
		}
	}
}

// A tcpStream is a raft.StreamLayer without a node.
type tcpStream struct{ net.Listener }

func (tcpStream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(addr), timeout)
}

// noEntries is a log without any.
type noEntries struct{}

func (noEntries) has(uint64, uint64) bool               { return false }
func (noEntries) members() (uint64, raft.Configuration) { return 0, raft.Configuration{} }
func (noEntries) lacks() bool                           { return false }

// pair returns two transports, and the address of the second.
func pair(t *testing.T) (from, to *transport, addr raft.ServerAddress) {
	t.Helper()
	var ts [2]*transport
	for i := range ts {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ts[i] = newTransport(t.Context(), time.Second, func(*raft.Raft) bool { return false }, noEntries{}, &raft.NetworkTransportConfig{
			Stream: tcpStream{ln}, MaxPool: 1, MaxRPCsInFlight: 1, Timeout: time.Minute, Logger: raftLogger(quiet(t), "n"),
		})
		t.Cleanup(func() {
			ts[i].CloseStreams() // whose other ends wait for more
			_ = ts[i].Close()
		})
		addr = raft.ServerAddress(ln.Addr().String())
	}
	return ts[0], ts[1], addr
}

// TestALargeEntryIsReceivedWithoutBeingCopiedOverAndOver sends the largest entry. The
// decoder of raft's messages alone takes 16 times its size for it, one copy after the other.
func TestALargeEntryIsReceivedWithoutBeingCopiedOverAndOver(t *testing.T) {
	from, to, addr := pair(t)
	data := filled(maxMaxUpdate)
	got := make(chan *raft.AppendEntriesRequest, 1)
	go func() {
		rpc := <-to.Consumer()
		got <- rpc.Command.(*raft.AppendEntriesRequest)
		rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	req := &raft.AppendEntriesRequest{Term: 1, PrevLogEntry: 1, Entries: []*raft.Log{{Index: 2, Term: 1, Data: data}, {Index: 3, Term: 1, Data: []byte("3")}}}
	var resp raft.AppendEntriesResponse
	if err := from.AppendEntries("n", addr, req, &resp); err != nil || !resp.Success {
		t.Fatal(resp, err)
	}
	runtime.ReadMemStats(&after)
	if l := (<-got).Entries; len(l) != 1 || !bytes.Equal(l[0].Data, data) || len(req.Entries) != 1 {
		t.Error("the first entry was to be sent, and arrives as another one, or not alone")
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 3*maxMaxUpdate {
		t.Errorf("%d MiB were taken for an entry of %d MiB", took>>20, maxMaxUpdate>>20)
	}
}

// A digest is a machine that keeps the checksums of its updates, in any order.
type digest struct {
	bulk
	sum uint32
}

func (d *digest) Apply(update []byte) (any, error) {
	d.sum ^= crc32.Checksum(update, castagnoli)
	return d.bulk.Apply(update)
}

// TestTheLargestUpdatesAreMadeOnThreeNodes has each of three nodes make two of the largest
// updates that there can be, with the timeouts that are the default, at once.
func TestTheLargestUpdatesAreMadeOnThreeNodes(t *testing.T) {
	concurrently(t)
	each := 2
	if testing.Short() {
		each = 1
	}
	tr := newTrial(t, 3, func(_ int, o *Options) { o.Heartbeat, o.MaxUpdate, o.SnapshotBytes = 0, maxMaxUpdate, -1 })
	machines := make([]*digest, 3)
	tr.open = func(i int) (*Node, error) {
		machines[i] = &digest{}
		return Open(tr.path(i), machines[i], tr.opts[i])
	}
	for i := range machines {
		tr.start(i)
	}
	var wg sync.WaitGroup
	want := uint32(0)
	for i := range 3 * each {
		u := filled(maxMaxUpdate)
		u[0] = byte(i)
		want ^= crc32.Checksum(u, castagnoli)
		wg.Go(func() {
			if _, err := tr.nodes[i%3].Update(t.Context(), u); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, n := range tr.nodes {
		if err := n.View(t.Context(), func() error {
			if m := machines[i]; m.n != uint64(3*each) || m.sum != want {
				t.Errorf("node %d has %d of %d updates, or others", i, m.n, 3*each)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tr.nodes[0].Update(t.Context(), make([]byte, maxMaxUpdate+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an update that is larger: %v", err)
	}
}
