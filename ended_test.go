package stateio_test

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/stateio/stateio"
)

// An endingDisk is a writer that ends its caller in a call, after a part of a write.
type endingDisk struct {
	bytes.Buffer
	calls, at, part int
	end             func()
}

func (d *endingDisk) count(b []byte) {
	if d.calls++; d.calls == d.at {
		d.Buffer.Write(b[:min(d.part, len(b))])
		d.end()
	}
}

func (d *endingDisk) Write(b []byte) (int, error) {
	d.count(b)
	return d.Buffer.Write(b)
}

func (d *endingDisk) Sync() error {
	d.count(nil)
	return nil
}

// A write or sync that panics, or ends the goroutine, is final, as one that fails is: nothing
// is acknowledged after it, and what was before can be restored.
func TestACallThatDoesNotReturnIsFinal(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		for part := range 40 {
			for at := 3; at <= 4; at++ { // the second write, and its sync
				d := &endingDisk{at: at, part: part, end: end}
				w := stateio.NewWriter(d, 0, 0)
				if err := w.Update([]byte("one")); err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					if part%2 == 0 {
						_ = w.Update(bytesOf(1, 20))
					} else {
						_ = w.Snapshot(bytesOf(1, 20))
					}
					t.Error("the call has returned")
				}()
				<-done
				calls := d.calls
				for what, call := range map[string]func() error{
					"Update":   func() error { return w.Update([]byte("more")) },
					"Updates":  func() error { return w.Updates([]byte("more"), nil) },
					"Snapshot": func() error { return w.Snapshot(nil) },
				} {
					var failed *stateio.AppendError
					if err := call(); !errors.As(err, &failed) || !failed.Unknown || d.calls != calls {
						t.Errorf("%s in call %d, after %d bytes; then %s: %v", name, at, part, what, err)
					}
				}
				m := (&model{}).update([]byte("one"))
				if at == 4 {
					continue // all of the entry is there
				}
				if err := m.compare(bytes.NewReader(d.Bytes()), int64(d.Len())); err != nil {
					t.Errorf("%s after %d bytes: %v", name, part, err)
				}
			}
		}
	}
}

// A call of a Writer from what it writes to is refused, and the entry around it is whole.
func TestACallFromWithinAWriterIsRefused(t *testing.T) {
	d := &endingDisk{at: 1}
	w := stateio.NewWriter(d, 0, 0)
	d.end = func() {
		if err := w.Update([]byte("within")); err == nil {
			t.Error("an update within a call of the writer was acknowledged")
		}
	}
	for _, u := range []string{"one", "two"} {
		if err := w.Update([]byte(u)); err != nil {
			t.Error(err)
		}
	}
	m := (&model{}).update([]byte("one")).update([]byte("two"))
	if err := m.compare(bytes.NewReader(d.Bytes()), int64(d.Len())); err != nil {
		t.Error(err)
	}
}

// At an offset near the end of what an int64 holds, nothing is written.
func TestAnOffsetThatNoFileHasIsRefused(t *testing.T) {
	for _, off := range []int64{-1, 1<<62 + 1, math.MaxInt64} {
		d := newDisk()
		w := stateio.NewWriter(d, off, 0)
		var failed *stateio.AppendError
		if err := w.Update([]byte("one")); !errors.As(err, &failed) || len(d.calls) > 0 {
			t.Errorf("at %d: %v", off, err)
		}
	}
}
