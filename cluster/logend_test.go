package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	walfs "github.com/hashicorp/raft-wal/fs"
)

// A puppet is a follower: raft, with a log on the disk, whose leaders the test plays.
type puppet struct {
	t     *testing.T
	dir   string
	snaps *raft.InmemSnapshotStore
	logs  *logStore
	raft  *raft.Raft
	own   *transport
	trans *raft.NetworkTransport // of the leaders
	addr  raft.ServerAddress
	ready bool // it is open

	mu      sync.Mutex
	applied []string // guarded by mu
}

func newPuppet(t *testing.T) *puppet {
	f := &puppet{t: t, dir: t.TempDir(), snaps: raft.NewInmemSnapshotStore()}
	f.open()
	t.Cleanup(f.close)
	return f
}

// open opens the log, and starts raft.
func (f *puppet) open() {
	f.t.Helper()
	var err error
	if f.logs, err = openTestLog(f.t, f.dir, walfs.New()); err != nil {
		f.t.Fatal(err)
	}
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = "a", hclog.NewNullLogger()
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = time.Hour, time.Hour, time.Hour
	var from *transport
	from, f.own, f.addr = pair(f.t)
	f.trans, f.own.log, f.ready = from.NetworkTransport, f.logs, false
	if f.raft, err = raft.NewRaft(conf, f, f.logs, f.logs, f.snaps, f.own); err != nil {
		f.t.Fatal(err)
	}
	f.ready = true
}

// close ends raft, and closes the log. It may be called again.
func (f *puppet) close() {
	f.t.Helper()
	if err := errors.Join(f.raft.Shutdown().Error(), f.logs.Close()); err != nil {
		f.t.Error(err)
	}
}

// Apply implements raft.FSM.
func (f *puppet) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = append(f.applied, string(l.Data))
	return nil
}

// Snapshot implements raft.FSM.
func (f *puppet) Snapshot() (raft.FSMSnapshot, error) { return nil, errRefused }

// Restore implements raft.FSM, with what a node does.
func (f *puppet) Restore(r io.ReadCloser) error {
	var entries []*raft.Log
	if err := json.NewDecoder(r).Decode(&entries); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = commands(entries)
	last := entries[len(entries)-1]
	if f.ready {
		f.logs.restored(last.Index, last.Term)
	} else {
		f.logs.covers(last.Index, last.Term)
	}
	return nil
}

// commands returns what is applied of entries.
func commands(entries []*raft.Log) (data []string) {
	for _, l := range entries {
		if l.Type == raft.LogCommand {
			data = append(data, string(l.Data))
		}
	}
	return data
}

// ofTerms returns entries from number 1 on, each of one of terms. With a term below zero it is a
// change of members.
func ofTerms(terms ...int) (list []*raft.Log) {
	for i, term := range terms {
		l := &raft.Log{Index: uint64(i) + 1, Term: uint64(max(term, -term)), Data: fmt.Appendf(nil, "%d of term %d", i+1, term)}
		if term < 0 {
			l.Type, l.Data = raft.LogConfiguration, raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{
				{ID: "a", Address: "a"}, {ID: "b", Address: "b"}, {ID: raft.ServerID(l.Data), Address: "c"},
			}})
		}
		list = append(list, l)
	}
	return list
}

// members returns the last change of members of entries.
func members(entries []*raft.Log) (last *raft.Log) {
	for _, l := range entries {
		if l.Type == raft.LogConfiguration {
			last = l
		}
	}
	return last
}

var header = raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("b"), Addr: []byte("b")}

// send sends the entries from number next on, as their leader does in a term, once.
func (f *puppet) send(entries []*raft.Log, next, commit, term uint64) raft.AppendEntriesResponse {
	f.t.Helper()
	req := &raft.AppendEntriesRequest{RPCHeader: header, Term: term, LeaderCommitIndex: commit}
	if next > 1 {
		req.PrevLogEntry, req.PrevLogTerm = next-1, entries[next-2].Term
	}
	for _, l := range entries[next-1:] {
		c := *l
		req.Entries = append(req.Entries, &c)
	}
	var resp raft.AppendEntriesResponse
	if err := f.trans.AppendEntries("a", f.addr, req, &resp); err != nil {
		f.t.Fatal(err)
	}
	return resp
}

// begin lets the follower know of a term.
func (f *puppet) begin(term uint64) {
	f.t.Helper()
	if resp := f.send(nil, 1, 0, term); !resp.Success {
		f.t.Fatal("the follower does not take a new term")
	}
}

// lead sends entries, all of which are committed, as a leader in the term of the last one does that
// has them from number first on: again and again, from where the follower may have the same. It
// fails unless the follower has them all then, in memory and on the disk.
func (f *puppet) lead(entries []*raft.Log, first uint64) {
	f.t.Helper()
	last := entries[len(entries)-1]
	next := last.Index
	for {
		resp := f.send(entries, next, last.Index, last.Term)
		if resp.Success {
			break
		}
		if next = max(min(next-1, resp.LastLog+1), 1); next < first {
			f.t.Fatalf("the follower takes no entry of %d to %d; it says that its last one is %d", first, last.Index, resp.LastLog)
		}
	}
	want := commands(entries)
	eventually(f.t, "all is applied", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.Equal(f.applied, want)
	})
	if got := raft.EncodeConfiguration(f.raft.GetConfiguration().Configuration()); string(got) != string(members(entries).Data) {
		f.t.Errorf("raft has the members %q, want those of entry %d", got, members(entries).Index)
	}
	f.has(entries, first)
	f.close()
	var err error
	if f.logs, err = openTestLog(f.t, f.dir, walfs.New()); err != nil {
		f.t.Fatal(err)
	}
	f.has(entries, first)
}

// has fails unless the log ends with entries from number first on, and has no others before them.
func (f *puppet) has(entries []*raft.Log, first uint64) {
	f.t.Helper()
	begin, end, err := f.logs.bounds()
	if err != nil || begin == 0 || begin > first || end != uint64(len(entries)) {
		f.t.Fatalf("the log has the entries %d to %d, %v, want %d to %d", begin, end, err, first, len(entries))
	}
	for i := begin; i <= end; i++ {
		var l raft.Log
		if err := f.logs.GetLog(i, &l); err != nil {
			f.t.Fatal(err)
		}
		if want := entries[i-1]; l.Index != i || l.Term != want.Term || string(l.Data) != string(want.Data) {
			f.t.Errorf("entry %d is %q of term %d, want %q of term %d", i, l.Data, l.Term, want.Data, want.Term)
		}
	}
}

// install sends a snapshot of entries, as a leader does that has no others.
func (f *puppet) install(entries []*raft.Log, term uint64) {
	f.t.Helper()
	b, err := json.Marshal(entries)
	if err != nil {
		f.t.Fatal(err)
	}
	last := entries[len(entries)-1]
	req := &raft.InstallSnapshotRequest{
		RPCHeader: header, SnapshotVersion: raft.SnapshotVersionMax, Term: term, Leader: []byte("b"),
		LastLogIndex: last.Index, LastLogTerm: last.Term, Size: int64(len(b)),
		Configuration: members(entries).Data, ConfigurationIndex: members(entries).Index,
	}
	var resp raft.InstallSnapshotResponse
	if err := f.trans.InstallSnapshot("a", f.addr, req, &resp, bytes.NewReader(b)); err != nil || !resp.Success {
		f.t.Fatal(resp, err)
	}
}

// fail lets the change of the log fail that comes after so many, and those after it, before
// anything is done or afterwards, until heal is called.
func (f *puppet) fail(after int, done bool) (heal func()) {
	f.t.Helper()
	held := &heldLog{}
	f.logs.held, f.logs.lost = held, func(err error) { f.t.Error(err) }
	f.logs.before = func() error {
		if after--; after >= 0 {
			return nil
		}
		if !done {
			return errors.New("an error of the disk")
		}
		held.mu.Lock()
		defer held.mu.Unlock()
		held.meta = heldFile{path: "\x00"} // which can't be looked at
		return nil
	}
	return func() { f.logs.before, f.logs.held = nil, nil }
}

// What a follower has, and what leaders have then.
var (
	before    = ofTerms(-1, 1, 1, 1, 1, 1, 1, 2, 2, 2)
	conflict  = ofTerms(-1, 1, 1, 1, 1, 1, 1, 3, 3, 3)
	following = ofTerms(-1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2)
)

// TestAFollowerGoesOnAfterAnErrorOfItsDisk has a change of the log of a follower fail, at any step,
// when its leader deletes the end of the log, or adds to it. Then it has what its leaders have,
// whatever that is.
func TestAFollowerGoesOnAfterAnErrorOfItsDisk(t *testing.T) {
	concurrently(t)
	other := ofTerms(-1, 1, 1, 1, 1, 1, -1, 2, -2, 2) // with changes of members
	failures := map[string]struct {
		sent   []*raft.Log
		after  int
		done   bool
		stored int // so many of those that are sent, nevertheless
	}{
		"deleting":                 {conflict, 0, false, 0},
		"a look after deleting":    {conflict, 0, true, 0},
		"storing":                  {conflict, 1, false, 0},
		"a look before storing":    {conflict, 1, true, 0},
		"a look after storing one": {conflict, 1, false, 1},
		"a look after storing":     {conflict, 1, false, 3},
		"appending":                {following, 0, false, 0},
		"a look after appending":   {following, 0, true, 0},
	}
	leaders := map[string]func(f *puppet, had, sent []*raft.Log){
		"the same": func(f *puppet, _, sent []*raft.Log) { f.lead(sent, 1) },
		"the same, by a snapshot": func(f *puppet, _, sent []*raft.Log) {
			f.install(sent[:9], sent[9].Term)
			f.lead(sent, 10)
		},
		"one that has what was there": func(f *puppet, had, _ []*raft.Log) { f.lead(then(had, 4, 4), 1) },
		"one that has what was there, by a snapshot": func(f *puppet, had, _ []*raft.Log) {
			f.install(had[:9], 4)
			f.lead(then(had, 4), 10)
		},
		"one that has neither":           func(f *puppet, had, _ []*raft.Log) { f.lead(then(had[:7], 5, 5), 1) },
		"one that has neither, and more": func(f *puppet, had, _ []*raft.Log) { f.lead(then(had[:7], 5, 5, 5, 5, 5, 5), 1) },
		"one that has neither, and a snapshot of it": func(f *puppet, had, _ []*raft.Log) {
			all := then(had[:7], 5, 5, 5, 5, 5, 5)
			f.install(all[:12], 5)
			f.lead(all, 13)
		},
	}
	for what, c := range failures {
		for who, lead := range leaders {
			for name, had := range map[string][]*raft.Log{"updates": before, "members": other} {
				t.Run(what+"/"+who+"/"+name, func(t *testing.T) {
					f := newPuppet(t)
					if resp := f.send(had, 1, 6, 2); !resp.Success {
						t.Fatal("the follower does not take what it is to have")
					}
					sent := slices.Concat(had[:7], c.sent[7:])
					if len(sent) > len(had) {
						sent = slices.Concat(had, c.sent[10:])
					}
					next := uint64(8)
					if len(sent) > len(had) {
						next = 11
					}
					f.begin(sent[9].Term)
					heal := f.fail(c.after, c.done)
					for range 3 {
						if resp := f.send(sent, next, 6, sent[9].Term); resp.Success {
							t.Fatal("the disk has failed, and the follower has not")
						}
					}
					heal()
					if c.stored > 0 {
						if err := f.logs.walFile.StoreLogs(withSums(sent[7 : 7+c.stored])); err != nil {
							t.Fatal(err)
						}
					}
					lead(f, had, sent)
				})
			}
		}
	}
}

// then returns entries, and more of terms.
func then(entries []*raft.Log, terms ...int) []*raft.Log {
	return slices.Concat(entries, ofTerms(append(make([]int, len(entries)), terms...)...)[len(entries):])
}

// TestALogThatASnapshotHasReplacedIsDropped has a follower install a snapshot, and not drop the log,
// which has other entries, also after the snapshot: raft does not care. It takes what follows.
func TestALogThatASnapshotHasReplacedIsDropped(t *testing.T) {
	for _, done := range []bool{false, true} {
		f := newPuppet(t)
		if resp := f.send(before, 1, 6, 2); !resp.Success {
			t.Fatal("the follower does not take what it is to have")
		}
		f.begin(3)
		heal := f.fail(0, done)
		f.install(conflict[:9], 3)
		heal()
		f.lead(conflict, 10)
	}
	f := newPuppet(t)
	if resp := f.send(before, 1, 6, 2); !resp.Success {
		t.Fatal("the follower does not take what it is to have")
	}
	f.install(conflict[:9], 3)
	f.lead(conflict, 10)
}

// TestAFollowerAppliesOnlyWhatItsLeaderHasShown has other entries committed than a follower has. Its
// leader sends older ones, down to which it goes while the follower's disk takes none.
func TestAFollowerAppliesOnlyWhatItsLeaderHasShown(t *testing.T) {
	for _, next := range []uint64{7, 8} { // with an entry, and without any
		f := newPuppet(t)
		if resp := f.send(before, 1, 6, 2); !resp.Success {
			t.Fatal("the follower does not take what it is to have")
		}
		f.begin(3)
		if resp := f.send(conflict[:7], next, 10, 3); !resp.Success {
			t.Fatal("the follower does not take what it has")
		}
		if got := f.raft.AppliedIndex(); got != 7 {
			t.Fatalf("the entries up to %d are applied, and the leader has shown those up to 7", got)
		}
		f.lead(conflict, 8)
	}
}

// TestALogThatBeginsAfterItsSnapshotTakesOtherEntries has a follower whose log begins right after the
// snapshot of a leader, and another leader that has other entries there.
func TestALogThatBeginsAfterItsSnapshotTakesOtherEntries(t *testing.T) {
	for name, meanwhile := range map[string]func(f *puppet){
		"at once": func(*puppet) {},
		"opened again": func(f *puppet) {
			f.close()
			f.open()
		},
		"after an error of its disk": func(f *puppet) {
			f.begin(3)
			heal := f.fail(1, false)
			if resp := f.send(conflict, 8, 10, 3); resp.Success {
				f.t.Fatal("the disk has failed, and the follower has not")
			}
			heal()
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newPuppet(t)
			f.install(before[:7], 2)
			if resp := f.send(before, 8, 7, 2); !resp.Success {
				t.Fatal("the follower does not take what follows its snapshot")
			}
			meanwhile(f)
			f.lead(conflict, 8)
		})
	}
}

// TestWhatStandsForTheEndOfASnapshotIsNotSent: a leader whose log begins after its snapshot sends that.
func TestWhatStandsForTheEndOfASnapshotIsNotSent(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to uint64 // of the log
		index    uint64 // of the snapshot
		stands   bool
	}{
		{"the log begins after it", 8, 9, 7, true},
		{"the log has it", 6, 9, 7, false},
		{"the log begins later", 9, 9, 7, false},
		{"the state that was imported", 2, 9, 1, false},
	} {
		s := stored(t, c.from, c.to)
		s.covers(c.index, 3)
		s.covers(c.index-1, 2) // an older one
		var l raft.Log
		err := s.GetLog(c.index, &l)
		if stands := err == nil && isTombstone(&l) && l.Term == 3; stands != c.stands {
			t.Errorf("%s: the log has %+v, %v", c.name, l, err)
		}
		if err := s.GetLog(c.index-1, &l); !errors.Is(err, raft.ErrLogNotFound) && c.from >= c.index {
			t.Errorf("%s: the entry before it is %+v, %v", c.name, l, err)
		}
	}
	from, _, addr := pair(t)
	req := &raft.AppendEntriesRequest{Entries: []*raft.Log{{Index: 7}, tombstone(8)}}
	if err := from.AppendEntries("n", addr, req, &raft.AppendEntriesResponse{}); !errors.Is(err, errLacks) {
		t.Errorf("it is sent: %v", err)
	}
}

// TestANodeThatLacksEntriesIsNotElected has raft believe in a change of members that was deleted, until
// another leader has sent what follows.
func TestANodeThatLacksEntriesIsNotElected(t *testing.T) {
	f := newPuppet(t)
	had := ofTerms(-1, 1, 1, 1, 1, 1, 1, 2, -2, 2)
	if resp := f.send(had, 1, 6, 2); !resp.Success {
		t.Fatal("the follower does not take what it is to have")
	}
	stands := func(want error) {
		t.Helper()
		if err := f.own.RequestVote("a", f.addr, &raft.RequestVoteRequest{RPCHeader: header}, &raft.RequestVoteResponse{}); !errors.Is(err, want) {
			t.Errorf("it asks for a vote: %v, want %v", err, want)
		}
		if err := f.own.RequestPreVote("a", f.addr, &raft.RequestPreVoteRequest{RPCHeader: header}, &raft.RequestPreVoteResponse{}); !errors.Is(err, want) {
			t.Errorf("it asks whether it would get a vote: %v, want %v", err, want)
		}
	}
	stands(nil)
	f.begin(3)
	heal := f.fail(1, false)
	if resp := f.send(conflict, 8, 6, 3); resp.Success {
		t.Fatal("the disk has failed, and the follower has not")
	}
	heal()
	stands(errLacks)
	if err := f.logs.writeErr(); !errors.Is(err, errLacks) {
		t.Errorf("it says %v", err)
	}
	err := f.trans.TimeoutNow("a", f.addr, &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{})
	if err == nil || err.Error() != errLacks.Error() || f.raft.State() != raft.Follower {
		t.Errorf("it is to lead, and says %v, and is a %v", err, f.raft.State())
	}
	if resp := f.send(conflict, 8, 6, 3); !resp.Success {
		t.Fatal("the follower does not take what the leader has")
	}
	stands(nil)
	if err := f.logs.writeErr(); err != nil {
		t.Errorf("it says %v", err)
	}
}
