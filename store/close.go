package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stateio/stateio/internal/storefile"
)

// A lifetime is what ends with the store.
type lifetime struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc // ends background work
	workers sync.WaitGroup          // all that goes on in the background
	settled chan struct{}           // closed by Close when nothing more is applied

	closed   chan struct{} // closed when Close is through
	closeErr error         // its result, then
}

// Close waits for what is pending, gives up a snapshot that is being made, and
// releases the directory. An update in flight gets its result; one that was not
// applied yet gets ErrClosed. A second call waits for the first and returns the
// same. A WriteTo that does not return within seconds is left to itself.
//
// The error is ErrFailed if the store had failed, or does now; or it says what
// kept it from sealing the log; what was acknowledged is durable in any case. With
// ErrReentrant, from within the store's own machine or View, nothing is closed.
func (s *Store) Close() error { return s.CloseContext(context.Background()) }

// CloseContext is Close for a caller that does not wait longer than ctx: after that
// the error is that of ctx, no update is taken any more, and closing goes on.
func (s *Store) CloseContext(ctx context.Context) error {
	if s.within(inApply, inCapture, inView, inWrite) {
		return errReentrant
	}
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	s.mu.Unlock()
	if first {
		s.shut()
		closing := func() {
			s.closeErr = s.close()
			close(s.closed)
		}
		if ctx.Done() == nil {
			closing()
		} else {
			go closing()
		}
	}
	select {
	case <-s.closed:
		return s.closeErr
	case <-ctx.Done():
		return fmt.Errorf("store: closing %s, which goes on: %w", s.dir, ctx.Err())
	}
}

// Done returns a channel that is closed when the store is: when Close is through, whoever has
// called it. What belongs to the store, and has goroutines of its own, ends then.
func (s *Store) Done() <-chan struct{} { return s.closed }

// shut takes no more updates.
func (s *Store) shut() {
	s.mu.Lock()
	if s.err == nil {
		s.err = &opError{is: ErrClosed, msg: s.dir + " is closed"}
	}
	s.down.Store(true)
	s.announceLocked()
	s.mu.Unlock()
	s.refuseQueued()
}

func (s *Store) close() error {
	s.cancel(&opError{is: ErrClosed, msg: "the snapshot was given up because the store was closed"})
	s.settleApply()
	close(s.settled)
	s.workers.Wait()
	if s.shadow != nil {
		s.shadow.end()
	}
	s.commit.Lock()
	defer s.commit.Unlock()
	s.gather()
	err := s.commitPending()
	if b := s.flightLost(err); b != nil {
		err = s.lose(b, err)
	}
	if err == nil {
		err = s.protect()
	}
	s.watch.stop()
	s.release()
	s.say.wait()
	return err
}

// settleApply waits until what is being applied is in the batch. Nothing more will
// be.
func (s *Store) settleApply() {
	s.apply.Lock()
	defer s.apply.Unlock()
	s.refuseQueued()
}

// protect ends the log with a seal and an empty log after it, so that any
// damage to it, and the loss of any file, will be noticed. Without that, all
// is durable nevertheless, so it is no error if there is no space for it.
func (s *Store) protect() error {
	if s.log == nil {
		return nil
	}
	if index := s.index.Load(); s.log.hdr.Base < index {
		next, err := s.prepareLog(s.path(index, storefile.LogSuffix+storefile.TmpSuffix), 0)
		if err == nil {
			err = s.switchLog(next, index)
		}
		if err != nil && !errors.Is(err, ErrNoSpace) {
			return err
		}
	}
	// Zeros up to the end of a file mean the same as its end.
	_ = s.log.f.Truncate(s.log.end)
	return nil
}

// release closes the files and gives the locks back.
func (s *Store) release() {
	if s.log != nil {
		_ = s.log.f.Close() // everything in it was synced, or the store has failed
	}
	s.slot.release()
	s.directory.release()
}
