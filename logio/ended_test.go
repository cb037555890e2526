package logio_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/stateio/stateio/logio"
)

// endings are ways in which a call ends without returning.
var endings = map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// ended runs do, which is to end without returning.
func ended(t *testing.T, do func()) {
	t.Helper()
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		do()
		returned = true
	}()
	<-done
	if returned {
		t.Error("the call has returned")
	}
}

type writes func(b []byte) (int, error)

func (w writes) Write(b []byte) (int, error) { return w(b) }

type reads func(b []byte) (int, error)

func (r reads) Read(b []byte) (int, error) { return r(b) }

// wantFinished checks that a writer writes nothing more.
func wantFinished(t *testing.T, w *logio.Writer, out *bytes.Buffer) {
	t.Helper()
	had := out.Len()
	if err := w.Append([]byte("more")); err == nil {
		t.Error("Append has acknowledged an entry")
	}
	if _, err := w.AppendFrom(bytes.NewReader([]byte("more"))); err == nil {
		t.Error("AppendFrom has acknowledged an entry")
	}
	if out.Len() != had {
		t.Errorf("%d bytes were written", out.Len()-had)
	}
}

// A write that does not return is final, as one that fails is: it may have left a part of
// its entry.
func TestAWriteThatDoesNotReturnIsFinal(t *testing.T) {
	for name, end := range endings {
		for part := range 30 {
			var out bytes.Buffer
			calls := 0
			w := logio.NewWriter(writes(func(b []byte) (int, error) {
				if calls++; calls == 2 {
					out.Write(b[:part])
					end()
				}
				return out.Write(b)
			}), 0)
			noError(t, w.Append([]byte("first")))
			if part%2 == 0 {
				ended(t, func() { _ = w.Append(bytesOf(1, 40)) })
			} else {
				ended(t, func() { _, _ = w.AppendFrom(bytes.NewReader(bytesOf(1, 40))) })
			}
			wantFinished(t, w, &out)
			r := logio.NewReader(&out, 0)
			if data, err := r.Read(); err != nil || string(data) != "first" {
				t.Errorf("%s after %d bytes: %q, %v", name, part, data, err)
			}
		}
	}
}

// The same holds for a source, wherever it ends.
func TestASourceThatDoesNotReturnIsFinal(t *testing.T) {
	for _, end := range endings {
		for _, after := range []int{0, 1, block, 20 * block} {
			var out bytes.Buffer
			w := logio.NewWriter(&out, 0)
			noError(t, w.Append([]byte("first")))
			ended(t, func() {
				n := 0
				_, _ = w.AppendFrom(reads(func(b []byte) (int, error) {
					if n >= after {
						end()
					}
					n += len(b)
					return len(b), nil
				}))
			})
			wantFinished(t, w, &out)
		}
	}
}

// A call of a writer from what it writes to, or reads, is refused: its entry would be in
// the middle of another one. That one is whole.
func TestACallFromWithinIsRefused(t *testing.T) {
	var out bytes.Buffer
	var w *logio.Writer
	within := func() {
		if err := w.Append([]byte("within")); err == nil {
			t.Error("Append within a call of the writer was acknowledged")
		}
		if _, err := w.AppendFrom(bytes.NewReader([]byte("within"))); err == nil {
			t.Error("AppendFrom within a call of the writer was acknowledged")
		}
	}
	w = logio.NewWriter(writes(func(b []byte) (int, error) { within(); return out.Write(b) }), 0)
	noError(t, w.Append([]byte("one")))
	src := bytes.NewReader(bytesOf(2, 20*block))
	if _, err := w.AppendFrom(reads(func(b []byte) (int, error) { within(); return src.Read(b) })); err != nil {
		t.Error(err)
	}
	if _, err := w.AppendFrom(reads(func([]byte) (int, error) { return 0, io.EOF })); err != nil {
		t.Error(err)
	}
	if _, err := w.AppendFrom(reads(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF })); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	noError(t, w.Append([]byte("three"))) // a source that failed before anything was written is not final
	r := logio.NewReader(&out, 0)
	for _, want := range [][]byte{[]byte("one"), bytesOf(2, 20*block), []byte("three")} {
		if data, err := r.Read(); err != nil || !bytes.Equal(data, want) {
			t.Errorf("%d bytes, %v; want %d", len(data), err, len(want))
		}
	}
}

// At an offset near the end of what an int64 holds, nothing is written: Tell could not say
// where.
func TestAnOffsetThatNoLogHasIsRefused(t *testing.T) {
	for _, off := range []int64{-1, math.MinInt64, 1<<62 + 1, math.MaxInt64 - 10, math.MaxInt64} {
		var out bytes.Buffer
		wantFinished(t, logio.NewWriter(&out, off), &out)
		if _, err := logio.Append(&out, off, []byte("one"), nil); err == nil || out.Len() > 0 {
			t.Errorf("Append at %d: %v, and %d bytes", off, err, out.Len())
		}
	}
	w := logio.NewWriter(io.Discard, 1<<62)
	noError(t, w.Append(bytesOf(1, 10)))
	if w.Tell() != 1<<62+25 {
		t.Errorf("Tell: %d", w.Tell())
	}
}
