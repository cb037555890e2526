package inspect_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

func entries(w *stateio.Writer, s ...string) error {
	for _, update := range s {
		if err := w.Update([]byte(update)); err != nil {
			return err
		}
	}
	return nil
}

// A file that begins with the header of a store's is told from a state file, where
// the header is damaged or cut after its first bytes, too. (That stores begin their
// files so, the tests of the command show.)
func TestTheFilesOfAStoreAreToldFromStateFiles(t *testing.T) {
	var file bytes.Buffer
	w := stateio.NewWriter(&file, 0, 0)
	if err := w.Snapshot([]byte("stateio\n, and more that only package store knows")); err != nil {
		t.Fatal(err)
	}
	const magicEnds = 15 + 9 + 8
	b := file.Bytes()
	b[0] ^= 1 // of the checksum
	for cut := range len(b) + 1 {
		if ours, err := inspect.BelongsToStore(bytes.NewReader(b[:cut])); ours != (cut >= magicEnds) || err != nil {
			t.Errorf("cut at %d: %v, %v", cut, ours, err)
		}
	}
	for bit := 4 * 8; bit < magicEnds*8; bit++ { // of anything but the checksum
		if length := bit >= 5*8 && bit < 7*8; length {
			continue
		}
		b[bit/8] ^= 1 << (bit % 8)
		if ours, err := inspect.BelongsToStore(bytes.NewReader(b)); ours || err != nil {
			t.Errorf("bit %d: %v, %v", bit, ours, err)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	file.Reset()
	w = stateio.NewWriter(&file, 0, 0)
	if err := w.Update([]byte("stateio\n")); err != nil {
		t.Fatal(err)
	}
	if ours, err := inspect.BelongsToStore(bytes.NewReader(file.Bytes())); ours || err != nil {
		t.Errorf("an update of a state file: %v, %v", ours, err)
	}
	if _, err := inspect.BelongsToStore(failing{}); !errors.Is(err, errFailing) {
		t.Errorf("a file that can't be read: %v", err)
	}
}

var errFailing = errors.New("the disk fails")

// failing can't be read.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errFailing }

// Whatever a file without a whole entry holds, the report says so: no part of a
// first write, nor zeros, is taken for an empty file.
func TestAFileWithoutAWholeEntryIsIncomplete(t *testing.T) {
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	if err := entries(w, strings.Repeat("x", 40_000)); err != nil {
		t.Fatal(err)
	}
	first := b.Len()
	if err := entries(w, "second"); err != nil {
		t.Fatal(err)
	}
	check := func(b []byte, incomplete bool) {
		t.Helper()
		r, size := bytes.NewReader(b), int64(len(b))
		rep, err := inspect.Verify(t.Context(), r, size, nil)
		if err != nil || rep.Incomplete() != incomplete {
			t.Fatalf("%d bytes: incomplete: %v, %v", size, !incomplete, err)
		}
		if has, err := inspect.HasEntry(r, size); has == incomplete && size > 0 || err != nil {
			t.Fatalf("%d bytes: HasEntry: %v, %v", size, has, err)
		}
	}
	check(nil, false)
	for cut := 1; cut < b.Len(); cut += 1 + cut/40 {
		check(b.Bytes()[:cut], cut < first)
	}
	check([]byte("42\n"), true)
	check([]byte("Dear diary"), true)
	check(make([]byte, 100_000), true)
}

func ExampleBelongsToStore() {
	var b bytes.Buffer
	if err := stateio.NewWriter(&b, 0, 0).Update([]byte("of a state file")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(inspect.BelongsToStore(bytes.NewReader(b.Bytes())))
	// Output: false <nil>
}
