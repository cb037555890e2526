//go:build amd64 || arm64

package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/lab/disk"
	"github.com/stateio/stateio/lab/kernel"
)

// Whatever part of the writes that were not flushed a disk keeps at a power cut,
// ext4, XFS and btrfs can be mounted again, and what is there opens and holds an
// exact prefix with all that was acknowledged. So it is when the power is cut
// again while the kernel or the store recovers, and while it works on from there.
func TestCrashBlocks(t *testing.T) {
	for _, k := range []kernel.FileSystem{kernel.Ext4, kernel.XFS, kernel.Btrfs} {
		for _, s := range []subject{aStore, aStateFile} {
			t.Run(k.Name+"/"+s.name, func(t *testing.T) {
				b := newBlocks(t, k, s)
				newBudget(t, 30, 0.08).runs(t, b.run)
				t.Logf("%d writes and %d flushes were recorded", b.writes, b.flushes)
				if b.flushes == 0 {
					t.Error("no flush came to the disk")
				}
			})
		}
	}
}

// A store that acknowledges before the disk has it is found out.
func TestBlocksFindALie(t *testing.T) {
	for _, k := range []kernel.FileSystem{kernel.Ext4, kernel.XFS, kernel.Btrfs} {
		t.Run(k.Name, func(t *testing.T) {
			b := newBlocks(t, k, aStore)
			b.lie = true
			wantCaught(t, 10, b.run)
		})
	}
}

// blocks draws crash states from the blocks that were written.
type blocks struct {
	kind    kernel.FileSystem
	subject subject
	lie     bool // have a store's commits not reach the disk
	empty   *disk.Image
	server  *kernel.Server
	dir     string // where disks are mounted
	start   func() *process

	// child mounts and uses the disks; nil: none has been started. This process, which
	// serves them, must not wait for one itself: killed, it could not end.
	child *process

	writes, flushes int
}

func newBlocks(t *testing.T, k kernel.FileSystem, s subject) *blocks {
	t.Helper()
	image := needMounts(t, k)
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	empty, err := disk.ReadImage(f, k.Size)
	if err != nil {
		t.Fatal(err)
	}
	server, err := kernel.Serve(t.TempDir())
	if isMissing(err) {
		t.Skipf("the kernel has no FUSE: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &blocks{
		kind: k, subject: s, empty: empty, server: server, dir: t.TempDir(),
		start: func() *process { return start(t, nil) },
	}
	t.Cleanup(b.endChild)
	return b
}

// endChild ends the child, if there is one.
func (b *blocks) endChild() {
	if b.child != nil {
		_ = b.child.end(true) // it was killed
		b.child = nil
	}
}

// generations is how many crashes deep a run goes.
const generations = 3

// run is one store's or file's, with some power cuts at each depth.
func (b *blocks) run(seed uint64) (states int, err error) {
	r := &blocksRun{blocks: b, rng: rand.New(rand.NewPCG(seed, 0xb10c))}
	r.options = pick(r.rng, b.kind.Options...)
	r.unit = pick(r.rng, b.kind.Units...)
	err = r.generation(disk.State{Image: b.empty, Mark: crashtest.NewHistory(), About: "the beginning"}, 0)
	return r.states, err
}

type blocksRun struct {
	*blocks
	rng     *rand.Rand
	options string // of mounting
	unit    int    // bytes that are written or not, never in part
	states  int
}

// generation mounts what a power cut left, judges it, works on it, and goes on
// with states that power cuts leave during all of that.
func (r *blocksRun) generation(s disk.State, depth int) error {
	rec := disk.NewRecorder(s.Image)
	hist := s.Mark.(*crashtest.History).Clone()
	rec.Mark(hist.Clone())
	o := order{Seed: r.rng.Uint64(), Turns: hist.Turns()}
	cuts := 0
	if depth < generations && (depth == 0 || r.rng.IntN(4) == 0) {
		o.Steps = 1 + r.rng.IntN(40>>depth)
		cuts = 1 + r.rng.IntN(8)
	}
	if err := r.live(rec, o, hist); err != nil {
		kept := keepImage(r.kind.Name, func(f *os.File) error {
			return errors.Join(f.Truncate(s.Image.Size()), s.Image.WriteTo(f))
		})
		return fmt.Errorf("generation %d, mounted with %q, after %s: %w\n%s", depth, r.options, s.About, err, kept)
	}
	if depth > 0 {
		r.states++
	}
	record := rec.Record()
	writes, flushes := record.Count()
	r.writes += writes
	r.flushes += flushes
	moments := make([]int, cuts)
	for i := range moments {
		moments[i] = r.rng.IntN(record.Len()-1) + 1 // the first event is a mark
	}
	slices.Sort(moments)
	for _, at := range moments {
		record.Advance(at)
		if err := r.generation(record.Draw(r.rng, r.unit, r.kind.Super...), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// live has the subject live on a disk. Each event in its history becomes a mark.
func (r *blocksRun) live(rec *disk.Recorder, o order, hist *crashtest.History) error {
	path := r.server.Show(rec)
	defer r.server.Hide(path)
	o.Subject, o.Dir, o.Answer, o.Lie = r.subject.name, r.dir, true, r.lie
	o.Kind, o.Disk, o.Options = r.kind.Name, path, r.options
	if r.child == nil {
		r.child = r.start()
	}
	failed, err := r.child.do(o, hist, func() { rec.Mark(hist.Clone()) })
	if err == nil {
		err = failed
	}
	if err != nil {
		r.endChild()
	}
	return err
}
