//go:build amd64 || arm64

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/store"
)

// A life is one of a store or a state file, from being opened to the crash.
type life struct {
	dir   string // where it may make files
	steps int    // of each writer; 0: only open it

	// dead tells that the disk has failed, so that errors are in order; nil: it has
	// not.
	dead func() bool
	// stubborn has one writer, who goes on when updates are refused. The first
	// error comes back in the end.
	stubborn bool
	// noted is called, under mu, when the history has changed, with what happened;
	// nil: never.
	noted func(event string)
	// begin is called before each step of a writer; nil: never.
	begin func()

	mu    sync.Mutex         // guards all below
	hist  *crashtest.History // nil: that of what is found
	turns int                // lives before this one, with a nil hist
	rng   *rand.Rand
	err   error // the first thing that was wrong
}

// A subject is what lives: it opens what is in l.dir, judges it, and works on it.
type subject struct {
	name string
	live func(l *life) error
}

var (
	aStore     = subject{"store", (*life).store}
	aStateFile = subject{"file", (*life).stateFile}
)

// note has what happened noted. The caller holds mu.
func (l *life) note(format string, args ...any) {
	if l.noted != nil {
		l.noted(fmt.Sprintf(format, args...))
	}
}

func (l *life) isDead() bool { return l.dead != nil && l.dead() }

// opened judges what was recovered, and tells whether to go on from there.
func (l *life) opened(m *crashtest.Machine) (goOn bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hist == nil {
		l.hist = crashtest.ResumeHistory(m, l.turns+1)
	} else {
		if err := l.hist.Check(m); err != nil || l.isDead() {
			return false, err
		}
		l.hist.Recovered(m)
	}
	l.note("opened %d %d", m.Count, m.Digest)
	return l.steps > 0, nil
}

// acked notes that the first n updates are acknowledged. The caller holds mu.
//
// With a disk that fails meanwhile it does not count: while ext4 is being shut
// down, fsync may return nil and have made nothing durable. No power cut gives a
// program that answer, since the program ends with it.
func (l *life) acked(n int) {
	if !l.isDead() {
		l.hist.Acked(n)
		l.note("acked %d", n)
	}
}

// next returns the next update. The caller holds mu.
func (l *life) next() []byte {
	u := l.hist.Next(l.size())
	l.note("submits %d", len(u))
	return u
}

// refused takes the last update back. The caller holds mu.
func (l *life) refused() {
	l.hist.Refused()
	l.note("refused")
}

// intN draws a number below n.
func (l *life) intN(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(n)
}

// unlessDead returns err, if the disk is not to blame for it.
func (l *life) unlessDead(doing string, err error) error {
	if err == nil || l.isDead() {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// fail notes that something is wrong, if err is not nil.
func (l *life) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// failed returns what fail noted.
func (l *life) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// size draws the size of an update: mostly small, at times around a block's.
// The caller holds mu.
func (l *life) size() int {
	switch l.rng.IntN(24) {
	case 0:
		return 32_600 + l.rng.IntN(200)
	case 1:
		return l.rng.IntN(200_000)
	case 2, 3, 4:
		return l.rng.IntN(5000)
	}
	return l.rng.IntN(200)
}

// store is the life of a store, with several writers.
func (l *life) store() error {
	opts := store.Options{
		SnapshotBytes:    pick(l.rng, int64(-1), 100_000),
		KeepSnapshots:    1 + l.rng.IntN(3),
		PreallocateBytes: pick(l.rng, int64(1), 4096, 100_000, 1<<20),
		Logger:           slog.New(slog.DiscardHandler),
	}
	m := &crashtest.Machine{Size: pick(l.rng, 0, 5000, 300_000)}
	if l.rng.IntN(4) == 0 {
		opts.Shadow = func() store.Machine { return &crashtest.Machine{Size: m.Size} }
	}
	writers := 1 + l.rng.IntN(4)
	if l.stubborn {
		writers = 1
		opts.SnapshotBytes = -1 // nobody is told of the error of one that starts by itself
	}
	s, err := store.Open(filepath.Join(l.dir, "store"), m, &opts)
	if err != nil {
		return l.unlessDead("the store does not open", err)
	}
	goOn, err := l.opened(m)
	if goOn {
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() { l.writer(s, writers == 1) })
		}
		wg.Wait()
		err = l.failed()
	}
	// It must close its files also when it has failed: unmounting tells.
	return errors.Join(err, l.unlessDead("closing the store", s.Close()))
}

// writer does what a program does with a store.
func (l *life) writer(s *store.Store, alone bool) {
	for range l.steps {
		if l.begin != nil {
			l.begin()
		}
		err := l.step(s, alone)
		if err == nil {
			continue
		}
		l.fail(l.unlessDead("working on the store", err))
		if errors.Is(err, store.ErrFailed) {
			_, err := s.Update(context.Background(), []byte("more"))
			l.mustFail(err)
			return
		}
		if !l.stubborn {
			return
		}
	}
}

// step is one thing that a writer does.
func (l *life) step(s *store.Store, alone bool) error {
	switch l.intN(16) {
	case 0:
		return s.Snapshot(context.Background())
	case 1, 2:
		for range 1 + l.intN(6) {
			if _, err := l.submit(s); err != nil {
				return err
			}
		}
		return l.sync(s)
	}
	if alone {
		return l.updateAlone(s)
	}
	return l.update(s)
}

// mustFail sees to it that nothing is acknowledged after a failure.
func (l *life) mustFail(err error) {
	if err == nil {
		l.fail(errors.New("an update was acknowledged after the failure"))
		l.mu.Lock()
		defer l.mu.Unlock()
		l.note("acked after failure")
	}
}

// submit makes an update. The lock keeps updates in the order of the history.
func (l *life) submit(s *store.Store) (*store.Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := s.Submit(l.next())
	if err != nil {
		l.refused()
	}
	return t, err
}

// updateAlone makes an update as the only writer, who commits it himself.
func (l *life) updateAlone(s *store.Store) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch _, err := s.Update(context.Background(), l.next()); {
	case err == nil:
		l.acked(l.hist.Len())
		return nil
	case errors.Is(err, store.ErrFailed): // it may be there
		return err
	default:
		l.refused()
		return err
	}
}

// update makes an update and waits until it is durable.
func (l *life) update(s *store.Store) error {
	t, err := l.submit(s)
	if err != nil {
		return err
	}
	if err := t.Wait(context.Background()); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked(int(t.Index()))
	return nil
}

// sync waits until all updates are durable.
func (l *life) sync(s *store.Store) error {
	l.mu.Lock()
	n := l.hist.Len()
	l.mu.Unlock()
	if err := s.Sync(context.Background()); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked(n)
	return nil
}

// stateFile is the life of a state file, which has one writer.
func (l *life) stateFile() (err error) {
	f, err := os.OpenFile(filepath.Join(l.dir, "state"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return l.unlessDead("opening the file", err)
	}
	defer func() {
		err = errors.Join(err, l.unlessDead("closing the file", f.Close()))
	}()
	m := &crashtest.Machine{Size: pick(l.rng, 0, 5000, 300_000)}
	if err := restore(f, m); err != nil {
		return l.unlessDead("the file can't be restored", err)
	}
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		return l.unlessDead("the file can't be opened for writing", err)
	}
	if goOn, err := l.opened(m); !goOn {
		return err
	}
	for range l.steps {
		if l.begin != nil {
			l.begin()
		}
		switch l.intN(16) {
		case 0:
			err = snapshot(w, m)
		case 1:
			if err := l.truncate(f); err != nil {
				return err // the writer is none the worse for that
			}
		default:
			err = l.append(w, m)
		}
		if err != nil {
			l.fail(l.unlessDead("working on the file", err))
			l.mustFail(w.Update([]byte("more")))
			break
		}
	}
	return l.failed()
}

// append makes an update of a state file.
func (l *life) append(w *stateio.Writer, m *crashtest.Machine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.next()
	if err := w.Update(u); err != nil {
		return err
	}
	l.acked(l.hist.Len())
	_, err := m.Apply(u)
	return err
}

// truncate gives back the space of old epochs, where that can be done.
func (l *life) truncate(f *os.File) error {
	_, err := stateio.Truncate(context.Background(), f, nil)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return l.unlessDead("truncating the file", err)
}

func snapshot(w *stateio.Writer, m *crashtest.Machine) error {
	state, err := m.Snapshot()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := state.WriteTo(&b); err != nil {
		return err
	}
	return w.Snapshot(b.Bytes())
}

// restore gives m the state that is in the file.
func restore(f *os.File, m *crashtest.Machine) error {
	state, _, updates, err := stateio.RestoreFile(f)
	if err != nil {
		return err
	}
	if state != nil {
		if err := m.Restore(bytes.NewReader(state)); err != nil {
			return err
		}
	}
	for {
		u, err := updates.Read()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			_, err = m.Apply(u)
		}
		if err != nil {
			return err
		}
	}
}
