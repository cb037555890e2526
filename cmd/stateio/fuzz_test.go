package main

import (
	"bytes"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// Input of any kind is split as bytes.Split would, whatever the pieces in which
// it is read, and taken as a whole as it is; memory does not grow beyond it.
func FuzzInput(f *testing.F) {
	for _, in := range []string{"", "\n", "a", "a\n", "a\n\nb", "a\x00b\x00", "\x00", "a\r\nb\x00c\n", strings.Repeat("x", 70_000) + "\ny"} {
		for reader := range uint8(4) {
			f.Add([]byte(in), byte('\n'), reader)
			f.Add([]byte(in), byte(0), reader)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, delim byte, reader uint8) {
		var want []string
		for _, b := range bytes.SplitAfter(in, []byte{delim}) {
			if len(b) > 0 {
				want = append(want, string(bytes.TrimSuffix(b, []byte{delim})))
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := collect(readUpdates(t.Context(), readerOf(in, reader), delim))
		whole, werr := collect(readWhole(t.Context(), readerOf(in, reader)))
		runtime.ReadMemStats(&after)
		if err != io.EOF || !slices.Equal(got, want) {
			t.Errorf("%.100q at %q: got %.100q, %v, want %.100q", in, delim, got, err, want)
		}
		if werr != io.EOF || !slices.Equal(whole, []string{string(in)}) {
			t.Errorf("%.100q as a whole: got %.100q, %v", in, whole, werr)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(1<<20+100*len(in)) {
			t.Errorf("%d bytes were allocated for an input of %d", n, len(in))
		}
	})
}

// readerOf returns a reader of b that returns it in pieces of its own kind.
func readerOf(b []byte, kind uint8) io.Reader {
	r := bytes.NewReader(b)
	switch kind % 4 {
	case 1:
		return iotest.OneByteReader(r)
	case 2:
		return iotest.HalfReader(r)
	case 3:
		return iotest.DataErrReader(r)
	}
	return r
}
