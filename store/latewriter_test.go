package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// A machine whose WriteTo leaves writing to a goroutine that it does not wait for makes
// snapshots that lack a part. What comes late is written nowhere, gets an error, and is said.
func TestAWriteToThatGoesOnAfterItHasReturned(t *testing.T) {
	const dir, what = "/latewriter", "wrote after it had returned"
	memory(t, dir)
	m := &troubled{}
	begin, late := make(chan struct{}), make(chan error)
	m.snapshot = func() (io.WriterTo, error) {
		return captured{func(w io.Writer) error {
			go func() {
				<-begin
				for range 2 {
					_, err := w.Write([]byte("the second half"))
					late <- err
				}
			}()
			_, err := w.Write([]byte("the first half"))
			return err
		}, new(int)}, nil
	}
	opts, lines := logged(store.Options{SnapshotBytes: -1})
	s := open(t, dir, m, opts)
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	var w wary
	_, err := s.Backup(t.Context(), &w)
	check(t, err)
	w.returned = true
	close(begin)
	for range 4 {
		if err := <-late; err == nil {
			t.Error("what was written late is accepted")
		}
	}
	check(t, s.Close())
	if n := strings.Count(lines(), what); n != 2 {
		t.Errorf("it was said %d times, for two states", n)
	}
}

// A snapshot that was written to late, while it is synced, is not published, and a backup
// not taken for whole.
func TestAStateThatIsKnownToLackAPartIsNotKept(t *testing.T) {
	const dir = "/lateinsync"
	mem, fs := memory(t, dir)
	m := &troubled{}
	begin, late := make(chan struct{}), make(chan error)
	m.snapshot = func() (io.WriterTo, error) {
		return captured{func(w io.Writer) error {
			go func() {
				<-begin
				_, err := w.Write([]byte("the second half"))
				late <- err
			}()
			_, err := w.Write([]byte("the first half"))
			return err
		}, new(int)}, nil
	}
	fs.OnOp(func(op faultfs.Op) {
		if op.Kind == faultfs.OpSync && strings.HasSuffix(op.Path, ".snap.tmp") {
			begin <- struct{}{}
			if err := <-late; err == nil {
				t.Error("what was written late is accepted")
			}
		}
	})
	s := open(t, dir, m, &store.Options{SnapshotBytes: -1, Logger: slog.New(slog.DiscardHandler)})
	update(t, s, "one")
	if err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), "wrote after it had returned") {
		t.Errorf("Snapshot returned %v", err)
	}
	state := false
	_, err := s.Backup(t.Context(), writing(func(p []byte) error {
		if state { // and now the end, so WriteTo has returned
			begin <- struct{}{}
			if err := <-late; err == nil {
				t.Error("what was written late is accepted")
			}
		}
		state = bytes.Contains(p, []byte("the first half"))
		return nil
	}))
	if err == nil || !strings.Contains(err.Error(), "wrote after it had returned") {
		t.Errorf("Backup returned %v", err)
	}
	check(t, s.Close())
	for name := range readFiles(t, mem, dir) {
		if strings.HasSuffix(name, ".snap") {
			t.Errorf("%s is there", name)
		}
	}
}

// writing is a function as a writer.
type writing func(p []byte) error

func (f writing) Write(p []byte) (int, error) { return len(p), f(p) }

// A wary writer wants no call after the one that it was passed to has returned.
type wary struct{ returned bool }

func (w *wary) Write(p []byte) (int, error) {
	if w.returned {
		panic("called after Backup had returned")
	}
	return len(p), nil
}

// A Backup whose writer blocks waits for it, beyond its context and Close, as it says, and
// the log blames neither the machine nor nobody.
func TestABackupWaitsForAWriterThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/blockedbackup"
		memory(t, dir)
		said := make(spoken, 9)
		s := open(t, dir, &journal{}, &store.Options{Logger: slog.New(slog.NewTextHandler(said, nil))})
		update(t, s, string(make([]byte, 1<<20)))
		ctx, cancel := context.WithCancel(t.Context())
		release, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := s.Backup(ctx, &blocked{release: release})
			ended <- err
		}()
		synctest.Wait()
		cancel()
		check(t, s.Close())
		if line := <-said; !strings.Contains(line, "what it is written to takes no more bytes") {
			t.Errorf("the log says: %s", line)
		}
		select {
		case err := <-ended:
			t.Errorf("Backup has returned while its writer was called: %v", err)
		default:
		}
		close(release)
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
}

// spoken gets each line that is logged.
type spoken chan string

func (t spoken) Write(p []byte) (int, error) {
	t <- string(p)
	return len(p), nil
}

// A blocked writer takes 64 KiB, and nothing more until it is released.
type blocked struct {
	taken   int
	release chan struct{}
}

func (b *blocked) Write(p []byte) (int, error) {
	if b.taken += len(p); b.taken > 64<<10 {
		<-b.release
	}
	return len(p), nil
}
