package stateio_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// An outFunc is what a writer writes to.
type outFunc func(b []byte) (int, error)

func (f outFunc) Write(b []byte) (int, error) { return f(b) }

// fullAfter has a writer find its disk full after n bytes.
func fullAfter(w *stateio.Writer, n int) {
	w.SetOut(func(out io.Writer) io.Writer {
		return outFunc(func(b []byte) (int, error) {
			if len(b) <= n {
				n -= len(b)
				return out.Write(b)
			}
			done, err := out.Write(b[:n])
			return done, errors.Join(errDisk, err)
		})
	})
}

// failNth has the nth sync or the nth truncation of a file fail, and returns what was asked for.
func failNth(t *testing.T, what string, n int) (calls *[]string) {
	t.Helper()
	calls = new([]string)
	seen := 0
	do := func(call string, really func() error) error {
		*calls = append(*calls, call)
		if call == what {
			if seen++; seen == n {
				return errDisk
			}
		}
		return really()
	}
	stateio.SetSyncFile(t, func(osf *os.File) error { return do("sync", osf.Sync) })
	stateio.SetTruncateFile(t, func(osf *os.File, size int64) error {
		return do("truncate", func() error { return osf.Truncate(size) })
	})
	return calls
}

// What a failed write has left is known to be gone only when it was cut off, and that is durable.
func TestAnEntryIsUnknownUnlessItsCutIsDurable(t *testing.T) {
	for what, unknown := range map[string]bool{"nothing": false, "truncate": true, "sync": true} {
		m := &model{}
		f := tempFile(t, nil)
		w := reopen(t, f, m)
		must(t, w, m, []byte("acknowledged"))
		fullAfter(w, 100)
		calls := failNth(t, what, 1)
		err := w.Updates(bytesOf(1, 60), bytesOf(2, 60))
		var failed *stateio.AppendError
		if !errors.Is(err, errDisk) || !errors.As(err, &failed) || failed.Unknown != unknown {
			t.Errorf("%s fails: %v", what, err)
		}
		want := "truncate sync"
		if what == "truncate" {
			want = what
		}
		if got := strings.Join(*calls, " "); got != want {
			t.Errorf("%s fails: the calls were %s, want %s", what, got, want)
		}
		if what == "nothing" && !bytes.Equal(content(t, f), m.file) {
			t.Error("the file is not as it was")
		}
	}
}

// Each call that NewFileWriter makes is needed.
func TestNewFileWriterFailsWithAnyOfItsCalls(t *testing.T) {
	m := (&model{}).update([]byte("one"))
	for _, c := range []struct {
		call string
		nth  int
		want string
	}{
		{"sync", 1, "stateio: syncing "},
		{"truncate", 1, "stateio: cutting the torn tail off "},
		{"sync", 2, "stateio: syncing "},
	} {
		f := tempFile(t, append(bytes.Clone(m.file), "torn"...))
		failNth(t, c.call, c.nth)
		if _, err := stateio.NewFileWriter(f); !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), c.want+f.Name()) {
			t.Errorf("%s %d: %v", c.call, c.nth, err)
		}
	}
}

// Bytes that are no entry are durably gone before the first entry is written.
func TestTheFirstEntryFailsUnlessWhatWasThereIsGone(t *testing.T) {
	for _, what := range []string{"truncate", "sync"} {
		f := tempFile(t, []byte("abc"))
		w := reopen(t, f, &model{})
		failNth(t, what, 1)
		err := w.Update([]byte("one"))
		var failed *stateio.AppendError
		if !errors.Is(err, errDisk) || !errors.As(err, &failed) || failed.Unknown != (what == "sync") {
			t.Errorf("%s fails: %v", what, err)
		}
		if n := len(content(t, f)); n > 3 {
			t.Errorf("%s fails: the file has %d bytes", what, n)
		}
	}
}

// A first entry that can't be written leaves nothing of itself, and nothing of the bytes that were
// no entry.
func TestAFirstEntryThatFailsLeavesAnEmptyFile(t *testing.T) {
	for _, room := range []int{0, 10} {
		f := tempFile(t, []byte("abc"))
		w := reopen(t, f, &model{})
		fullAfter(w, room)
		err := w.Update([]byte("one"))
		var failed *stateio.AppendError
		if !errors.Is(err, errDisk) || !errors.As(err, &failed) || failed.Unknown {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
		if b := content(t, f); len(b) > 0 {
			t.Errorf("with room for %d bytes the file holds %q", room, b)
		}
	}
}

// Truncate makes the epoch durable before it gives away the ones before, and then the hole.
func TestTruncateFailsWithASync(t *testing.T) {
	m := (&model{}).update(bytesOf(1, 3*block)).snapshot([]byte("state"))
	for n := 1; n <= 2; n++ {
		f := tempFile(t, m.file)
		calls := failNth(t, "sync", n)
		_, err := stateio.Truncate(t.Context(), f, nil)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		if !errors.Is(err, errDisk) || len(*calls) != n {
			t.Errorf("sync %d fails: %v", n, err)
		}
		if n == 1 && !bytes.Equal(content(t, f), m.file) {
			t.Error("the file was changed")
		}
	}
}

// A compacted file is durable.
func TestCompactFileFailsWithItsSync(t *testing.T) {
	src, dst := tempFile(t, (&model{}).update([]byte("one")).file), tempFile(t, nil)
	failNth(t, "sync", 1)
	if _, err := stateio.CompactFile(t.Context(), dst, src, nil); !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), "stateio: syncing "+dst.Name()) {
		t.Errorf("got %v", err)
	}
}

// Bytes that somebody else appends between two pieces of a batch, or of a long update, are not
// written over.
func TestPiecesOverwriteNothingElse(t *testing.T) {
	for name, batch := range map[string][][]byte{
		"a batch":   {bytesOf(1, 900_000), bytesOf(2, 900_000), bytesOf(3, 900_000)},
		"an update": {make([]byte, 9<<20)},
	} {
		f := tempFile(t, nil)
		w := reopen(t, f, &model{})
		size := 0
		w.SetOut(func(out io.Writer) io.Writer {
			return outFunc(func(b []byte) (int, error) {
				n, err := out.Write(b)
				if size == 0 {
					size = n + 1
					if _, err := f.WriteAt([]byte("x"), int64(n)); err != nil {
						t.Fatal(err)
					}
				}
				return n, err
			})
		})
		err := w.Updates(batch...)
		var failed *stateio.AppendError
		if !errors.Is(err, stateio.ErrTaken) || !errors.As(err, &failed) || !failed.Unknown {
			t.Errorf("%s: %v", name, err)
		}
		if b := content(t, f); len(b) != size || b[size-1] != 'x' {
			t.Errorf("%s: the file has %d bytes, want %d", name, len(b), size)
		}
	}
}

// A batch is written to a file in pieces of a mebibyte, or of one update.
func TestABatchIsWrittenInPiecesOfAMebibyteOrOneUpdate(t *testing.T) {
	const mega, most = 1 << 20, 8 << 20 // most is written at once
	f, m := tempFile(t, nil), &model{}
	w := reopen(t, f, m)
	var writes []int
	w.SetOut(func(out io.Writer) io.Writer {
		return outFunc(func(b []byte) (int, error) {
			writes = append(writes, len(b)/1000)
			return out.Write(b)
		})
	})
	var batch [][]byte
	for i, n := range []int{10, 900_000, 100_000, most, mega, 10, mega - 100, 100, 500_000, 500_000, most, most, 10} {
		batch = append(batch, bytes.Repeat([]byte{byte(i)}, n))
		m.update(batch[i])
	}
	if err := w.Updates(batch...); err != nil {
		t.Fatal(err)
	}
	want := []int{1000, most / 1000, mega / 1000, mega / 1000, 1000, most / 1000, most / 1000, 0}
	for i := range writes { // headers of blocks are a little more
		if i >= len(want) || writes[i] < want[i] || writes[i] > want[i]+want[i]/1000+1 {
			t.Errorf("the writes were of %d kB, want %d", writes, want)
			break
		}
	}
	if !bytes.Equal(content(t, f), m.file) {
		t.Error("the file is not that of its entries")
	}
}
