package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
)

// TestCrashOfTheLog lives through many lives of a log on a disk in memory: entries are
// appended, and removed at both ends, until the power fails, or only the process dies,
// at any operation on the disk. After each, what was acknowledged must be there, as it
// was, without a gap, and nothing else but all or nothing of what was under way. In
// some lives an operation on the disk fails before, and the log goes on.
func TestCrashOfTheLog(t *testing.T) {
	count := int64(300)
	if testing.Short() {
		count = 50
	}
	b := crashtest.NewBudget(t, count)
	if b.Seed != 0 {
		newPower(b.Seed, powerOptions{}).run(t)
		return
	}
	seed, runs := uint64(1), int64(0)
	if b.Time > 0 {
		seed = rand.Uint64() | 1
	}
	for start := time.Now(); !t.Failed() && (b.Time == 0 && runs < b.Count || b.Time > 0 && time.Since(start) < b.Time); runs++ {
		newPower(seed, powerOptions{}).run(t)
		seed++
	}
	t.Logf("%d logs, with %d power cuts or kills each", runs, powerLives)
}

// run fails with the seed.
func (p *power) run(t *testing.T) {
	t.Helper()
	if err := p.live(); err != nil {
		t.Errorf("life %d, after %v: %v\nrepeat it with STATEIO_CRASH_SEED=%d", p.lives, p.did, err, p.seed)
	}
}

// TestPowerCutsFindALogThatIsLost makes sure that the test above notices a disk that
// says it has synced, and has not.
func TestPowerCutsFindALogThatIsLost(t *testing.T) {
	findsLoss(t, powerOptions{lies: true})
}

// TestRaftWALAloneDoesNotSurvivePowerCuts tells when raft-wal has learned to do
// without what waltail.go and walfile.go do for it.
func TestRaftWALAloneDoesNotSurvivePowerCuts(t *testing.T) {
	findsLoss(t, powerOptions{alone: true})
}

// TestAFileWhoseIndexIsTornIsNotLost cuts the power while a file becomes full. What was
// acknowledged in it must remain, also when the last entry is then deleted, as a new
// leader may ask for; with raft-wal alone it does not.
func TestAFileWhoseIndexIsTornIsNotLost(t *testing.T) {
	p := newPower(0, powerOptions{})
	full, err := fill(p, 1<<20)
	if err = errors.Join(err, p.logs.Close()); err != nil {
		t.Fatal(err)
	}
	for _, alone := range []bool{false, true} {
		var lost error
		for seed := uint64(0); seed < 50 && lost == nil; seed++ {
			p := newPower(seed, powerOptions{alone: alone})
			if _, err := fill(p, full); !p.gone() {
				t.Fatal("the power has not failed: ", err)
			}
			_ = p.logs.Close() // the disk is gone
			p.mem = p.mem.Crash(p.rng)
			p.disk = faultfs.New(p.mem)
			lost = p.shorten()
			_ = p.logs.Close() // or it is closed
		}
		if alone != (lost != nil) {
			t.Errorf("raft-wal alone: %v, and after a power cut: %v", alone, lost)
		}
	}
}

// shorten opens the log, deletes its last entry, and opens it again.
func (p *power) shorten() (err error) {
	s, err := p.open()
	if err != nil {
		return err
	}
	p.logs = s
	if err := p.look(); err != nil {
		return errors.Join(err, s.Close())
	}
	last := p.sure.last()
	p.sure.entries = p.sure.entries[:len(p.sure.entries)-1]
	if err := errors.Join(p.logs.DeleteRange(last, last), p.logs.Close()); err != nil {
		return err
	}
	if s, err = p.open(); err != nil {
		return err
	}
	p.logs = s
	return errors.Join(p.look(), s.Close())
}

// fill appends entries, one at a time, until the first file is full, which it is with
// the one that it returns. The power fails in the sync of an entry, before it.
func fill(p *power, cut uint64) (uint64, error) {
	p.mem = memfs.New(memfs.Options{PageSize: 512})
	p.disk = faultfs.New(p.mem)
	p.disk.Inject(faultfs.Fault{Kinds: faultfs.OpSync, Path: "*.wal", N: int64(cut), Stop: true})
	err := errors.Join(p.mem.Mkdir("/wal", 0o700), p.mem.SyncDir("/"))
	if err == nil {
		p.logs, err = p.open()
	}
	if err != nil {
		return 0, err
	}
	p.sure.first = 1
	for i := uint64(1); ; i++ {
		if err := p.logs.StoreLog(&raft.Log{Index: i}); err != nil {
			with := p.sure
			with.entries = append(with.entries, nil)
			p.maybe = append(p.maybe, &with)
			return 0, err
		}
		p.sure.entries = append(p.sure.entries, nil)
		if err := p.logs.DeleteRange(1<<62, 1<<62); err != nil { // nothing, after what the log was doing
			return 0, err
		}
		if files, err := (memVFS{disk: p.disk}).ListDir("/wal"); err != nil || len(files) > 2 { // with the database
			return i, err
		}
	}
}

func findsLoss(t *testing.T, o powerOptions) {
	t.Helper()
	for seed := range uint64(1000) {
		p := newPower(seed, o)
		if err := p.live(); err != nil {
			t.Logf("seed %d, life %d: %v", seed, p.lives, err)
			return
		}
	}
	t.Error("nothing was lost")
}

const powerLives = 6

type powerOptions struct {
	lies  bool // the disk syncs nothing
	alone bool // raft-wal without this package's help
}

// A power is the log of a node, what must be in it, and what may.
type power struct {
	powerOptions
	seed  uint64
	rng   *rand.Rand
	mem   *memfs.FS
	disk  *faultfs.FS
	logs  *logStore
	most  int // bytes of an entry
	lives int
	did   []string // since the log was opened

	sure  logModel
	maybe []*logModel // what there may be instead: what was under way has happened, or what has failed
}

// A logModel is what a log holds.
type logModel struct {
	first   uint64 // 0: no entries
	entries [][]byte
	vote    uint64
}

func (m *logModel) last() uint64 {
	if m.first == 0 {
		return 0
	}
	return m.first + uint64(len(m.entries)) - 1
}

func newPower(seed uint64, o powerOptions) *power {
	rng := rand.New(rand.NewPCG(seed, 18))
	mem := memfs.New(memfs.Options{PageSize: []int{512, 4096}[rng.IntN(2)], Garbage: rng.IntN(2) == 0})
	return &power{powerOptions: o, seed: seed, rng: rng, mem: mem, most: []int{8, 60, 1500}[rng.IntN(3)]}
}

// live opens the log, works with it until the disk is gone, and looks what is left, a
// few times.
func (p *power) live() error {
	if err := errors.Join(p.mem.Mkdir("/wal", 0o700), p.mem.SyncDir("/")); err != nil {
		return err
	}
	for p.lives = 0; p.lives < powerLives; p.lives++ {
		p.did = p.did[:0]
		p.disk = faultfs.New(p.mem)
		p.disk.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: 1 + p.rng.Int64N(90), Forever: true, Stop: true, After: p.rng.IntN(2) == 0})
		if err := p.one(); !p.gone() {
			return err
		}
		p.disk.Stop()
		if p.logs != nil {
			_ = p.logs.Close() // the disk is gone
			p.logs = nil
		}
		if p.rng.IntN(4) == 0 {
			p.mem = p.mem.Kill()
		} else {
			p.mem = p.mem.Crash(p.rng)
		}
	}
	return nil
}

// one opens the log, looks whether what must be there is, and goes on until the disk is
// gone.
func (p *power) one() (err error) {
	if p.logs, err = p.open(); err != nil {
		return err
	}
	if p.rng.IntN(3) == 0 && !p.alone {
		p.disk.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: 1 + p.rng.Int64N(60), Err: fsys.ErrNoSpace, After: p.rng.IntN(2) == 0})
	}
	for {
		if err := p.look(); err != nil {
			return err
		}
		for err == nil {
			err = p.work()
		}
		if p.gone() {
			return err
		}
		p.did = append(p.did, err.Error())
		err = nil
	}
}

// gone reports whether the power has failed.
func (p *power) gone() bool {
	_, err := p.disk.Stat("/")
	return errors.Is(err, fsys.ErrCrashed)
}

// look reads the whole log.
func (p *power) look() error {
	found, err := p.find()
	if err != nil || same(found, &p.sure) {
		return err
	}
	for _, m := range p.maybe {
		if same(found, m) {
			p.sure, p.maybe = *m, nil
			return nil
		}
	}
	return fmt.Errorf("there are the entries %d to %d, and those that were acknowledged are %d to %d, with %d operations under way",
		found.first, found.last(), p.sure.first, p.sure.last(), len(p.maybe))
}

// open opens the log as a node does.
func (p *power) open() (*logStore, error) {
	s, err := newLogStore(func() (*wal.WAL, error) {
		if p.logs != nil && p.gone() {
			p.logs.once.Do(func() { close(p.logs.stop) }) // the process is gone, too
		}
		files, meta, quiet := memVFS{p.disk, p.lies}, &memMeta{disk: p.disk}, hclog.NewNullLogger()
		if p.alone {
			return wal.Open("/wal", wal.WithSegmentSize(8<<10), wal.WithLogger(quiet),
				wal.WithSegmentFiler(segment.NewFiler("/wal", files)), wal.WithMetaStore(meta))
		}
		return openWAL("/wal", walParts{files, p.disk.SyncDir, meta}, 8<<10, quiet)
	}, slog.New(slog.DiscardHandler), nil)
	if err == nil && p.alone {
		s.once.Do(func() { close(s.stop) })
		s.open = func() (*wal.WAL, error) { return nil, errors.New("raft-wal alone") }
	}
	return s, err
}

// find reads the whole log.
func (p *power) find() (*logModel, error) {
	if err := p.logs.check(); err != nil {
		return nil, err
	}
	first, err := p.logs.FirstIndex()
	if err != nil {
		return nil, err
	}
	last, err := p.logs.LastIndex()
	if err != nil {
		return nil, err
	}
	m := &logModel{first: first}
	for i := first; first > 0 && i <= last; i++ {
		var l raft.Log
		if err := p.logs.GetLog(i, &l); err != nil {
			return nil, err
		}
		m.entries = append(m.entries, bytes.Clone(l.Data))
	}
	m.vote, err = p.logs.GetUint64([]byte("vote"))
	return m, err
}

func same(a, b *logModel) bool {
	if a.first != b.first || len(a.entries) != len(b.entries) || a.vote != b.vote {
		return false
	}
	for i := range a.entries {
		if !bytes.Equal(a.entries[i], b.entries[i]) {
			return false
		}
	}
	return true
}

// work does one thing, and waits for what raft-wal does about it by itself.
func (p *power) work() error {
	next := logModel{first: p.sure.first, entries: p.sure.entries[:len(p.sure.entries):len(p.sure.entries)], vote: p.sure.vote}
	var do func() error
	k := uint64(len(next.entries))
	draw := p.rng.IntN(12)
	if len(p.maybe) > 0 {
		draw = 11 // takes the place of what has failed
	}
	switch {
	case draw == 0 && k > 0: // as after a snapshot
		n := 1 + p.rng.Uint64N(k)
		from := next.first
		do = func() error {
			if n == k { // raft does that if a snapshot has it all
				p.logs.restored(from+n-1, 7)
			}
			return p.logs.DeleteRange(from, from+n-1)
		}
		p.did = append(p.did, fmt.Sprintf("delete %d-%d", from, from+n-1))
		if next.first, next.entries = next.first+n, next.entries[n:]; n == k {
			next.first = 0
		}
	case draw == 1 && k > 1: // as after a change of leaders
		n := 1 + p.rng.Uint64N(min(k-1, 20))
		last := next.last()
		do = func() error { return p.logs.DeleteRange(last-n+1, last) }
		p.did = append(p.did, fmt.Sprintf("delete %d-%d", last-n+1, last))
		next.entries = next.entries[: k-n : k-n]
	case draw == 2:
		next.vote = p.rng.Uint64()
		do = func() error {
			for { // as logStore does, which does not stop when the power has failed
				if err := p.logs.walFile.SetUint64([]byte("vote"), next.vote); err == nil || p.gone() {
					return err
				}
			}
		}
		p.did = append(p.did, "vote")
	default:
		do = p.appending(&next)
	}
	p.maybe = append(p.maybe, &next)
	if err := do(); err != nil {
		return err
	}
	p.sure, p.maybe = next, nil
	return p.logs.DeleteRange(1<<62, 1<<62) // nothing, after what the log was doing
}

// appending adds entries.
func (p *power) appending(next *logModel) func() error {
	if next.first == 0 {
		next.first = 1 + p.rng.Uint64N(3)*100
	}
	var list []*raft.Log
	for range 1 + p.rng.IntN(12) {
		data := make([]byte, p.rng.IntN(p.most+1))
		for i := range data {
			data[i] = byte(p.rng.Uint32())
		}
		next.entries = append(next.entries, data)
		list = append(list, &raft.Log{Index: next.last(), Term: 7, Data: data})
	}
	p.did = append(p.did, fmt.Sprintf("append %d-%d", list[0].Index, next.last()))
	return func() error { return p.logs.StoreLogs(list) }
}
