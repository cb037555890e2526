//go:build amd64 || arm64

package lab

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/lab/kernel"
)

// A power cut of a real ext4 or XFS at any moment, also while a store recovers
// from the last one, leaves a store and a state file that open and hold an exact
// prefix with all that was acknowledged. A store that has lost its disk closes all
// of its files.
func TestCrashPowerCuts(t *testing.T) {
	for _, k := range []kernel.FileSystem{kernel.Ext4, kernel.XFS} {
		for _, s := range []subject{aStore, aStateFile} {
			t.Run(k.Name+"/"+s.name, func(t *testing.T) {
				p := newPower(t, k, s)
				newBudget(t, 120, 0.1).runs(t, p.run)
			})
		}
	}
}

// A store that acknowledges before the disk has it is found out.
func TestPowerCutsFindALie(t *testing.T) {
	for _, k := range []kernel.FileSystem{kernel.Ext4, kernel.XFS} {
		t.Run(k.Name, func(t *testing.T) {
			p := newPower(t, k, aStore)
			p.fs = liar{fsys.OS{}}
			wantCaught(t, 50, p.run)
		})
	}
}

// wantCaught fails unless one of some runs does.
func wantCaught(t *testing.T, runs int, run func(seed uint64) (int, error)) {
	t.Helper()
	for seed := range uint64(runs) {
		if _, err := run(2*seed + 1); err != nil {
			t.Logf("run %d: %v", seed+1, err)
			return
		}
	}
	t.Errorf("nothing was found in %d runs", runs)
}

// A liar is a file system that says that data is durable which is not.
type liar struct{ fsys.FS }

func (l liar) Open(path string, mode fsys.Mode, perm os.FileMode) (fsys.File, error) {
	return lying(l.FS.Open(path, mode, perm))
}

func (l liar) Hold(dir string) (fsys.Held, error) {
	h, err := l.FS.Hold(dir)
	if err != nil {
		return nil, err
	}
	return lyingHeld{h}, nil
}

// lyingHeld is a directory of a liar.
type lyingHeld struct{ fsys.Held }

func (h lyingHeld) Open(path string, mode fsys.Mode, perm os.FileMode) (fsys.File, error) {
	return lying(h.Held.Open(path, mode, perm))
}

func lying(f fsys.File, err error) (fsys.File, error) {
	if err != nil {
		return nil, err
	}
	return lyingFile{f}, nil
}

type lyingFile struct{ fsys.File }

func (lyingFile) Datasync() error { return nil }

// power cuts the power of file systems.
type power struct {
	kind    kernel.FileSystem
	subject subject
	fs      fsys.FS // on which stores are
	empty   string  // image of an empty file system
	image   string  // the one in use
	dir     string  // where it is mounted
}

func newPower(t *testing.T, k kernel.FileSystem, s subject) *power {
	empty := needMounts(t, k)
	return &power{k, s, fsys.OS{}, empty, filepath.Join(t.TempDir(), "image"), t.TempDir()}
}

// run is one image's, through power cuts.
func (p *power) run(seed uint64) (states int, err error) {
	rng := rand.New(rand.NewPCG(seed, 0x90e8))
	if err := copySparse(p.image, p.empty); err != nil {
		return 0, err
	}
	hist := crashtest.NewHistory()
	options := pick(rng, p.kind.Options...)
	for generation := range 12 {
		if err := p.generation(rng, hist, options); err != nil {
			kept := keepImage(p.kind.Name, func(f *os.File) error { return copyTo(f, p.image) })
			return states, fmt.Errorf("generation %d, mounted with %q: %w\n%s (a later state than that when it was opened)", generation, options, err, kept)
		}
		states++
	}
	return states, nil
}

// generation mounts, works, and cuts the power.
func (p *power) generation(rng *rand.Rand, hist *crashtest.History, options string) (err error) {
	m, err := p.kind.Mount(p.image, p.dir, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Unmount()) }()
	c := &cutter{m: m, rng: rand.New(rand.NewPCG(rng.Uint64(), 1)), kind: pick(rng, kernel.FlushNot, kernel.FlushNot, kernel.FlushNot, kernel.FlushLog, kernel.FlushAll)}
	c.left = 1 + c.rng.IntN(1+c.rng.IntN(200))
	c.beside = c.rng.IntN(2) == 0
	l := &life{
		dir: p.dir, steps: 1 + rng.IntN(30), dead: c.cut.Load,
		hist: hist, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)),
	}
	if p.subject.name == aStore.name {
		dir := filepath.Join(p.dir, "store")
		fs := faultfs.New(p.fs)
		fs.OnOp(c.onOp)
		defer storefs.Mount(dir, fs)()
	} else {
		l.begin = func() { c.onOp(faultfs.Op{Kind: faultfs.OpWrite, Path: filepath.Join(p.dir, "state")}) }
	}
	err = p.subject.live(l)
	c.cutNow() // if it was not cut before
	c.wg.Wait()
	return errors.Join(err, c.err)
}

// A cutter cuts the power before, or during, a drawn operation.
type cutter struct {
	m    *kernel.Mounted
	kind kernel.Cut
	cut  atomic.Bool // it was, or is about to be

	mu     sync.Mutex // guards all below
	rng    *rand.Rand
	left   int  // operations until the cut
	beside bool // let the operation run at the same time
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// onOp is called before each operation.
func (c *cutter) onOp(op faultfs.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op.Kind&(faultfs.Changes|faultfs.OpRead) == 0 || c.cut.Load() {
		return
	}
	c.left--
	switch {
	case c.left > 0:
		c.writeSome(op.Path)
	case c.beside:
		c.cut.Store(true)
		c.wg.Go(c.cutNow)
	default:
		c.cutNow()
	}
}

// writeSome has the kernel write something earlier than it would, at times.
func (c *cutter) writeSome(path string) {
	switch c.rng.IntN(24) {
	case 0:
		_ = c.m.Sync() // it is a help to nobody; the judge sees what it did
	case 1, 2, 3:
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return // a directory, or not there yet
		}
		off, n := int64(c.rng.IntN(50))*4096, int64(1+c.rng.IntN(10))*4096
		_ = unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
		_ = unix.Close(fd)
	}
}

// cutNow cuts the power, once.
func (c *cutter) cutNow() {
	c.once.Do(func() {
		c.cut.Store(true)
		c.err = c.m.CutPower(c.kind)
	})
}

// copySparse makes the file to one with the content of from.
func copySparse(to, from string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(copyTo(f, from), f.Close())
}

// copyTo copies what is not a hole.
func copyTo(f *os.File, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	if err := f.Truncate(fi.Size()); err != nil {
		return err
	}
	for end := int64(0); ; {
		start, err := unix.Seek(int(src.Fd()), end, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		}
		if err == nil {
			end, err = unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE)
		}
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(f, start), io.NewSectionReader(src, start, end-start)); err != nil {
			return err
		}
	}
}
