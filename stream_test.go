package stateio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

func ExampleRestoreStream() {
	var file bytes.Buffer
	w := stateio.NewWriter(&file, 0, 0)
	if err := errors.Join(w.Snapshot([]byte("the state")), w.Update([]byte("an update"))); err != nil {
		log.Fatal(err)
	}
	state, size, _, updates, err := stateio.RestoreStream(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		log.Fatal(err)
	}
	b, err := io.ReadAll(state)
	fmt.Printf("%s, %d bytes, %v\n", b, size, err)
	for u, err := range updates.All() {
		fmt.Printf("%s, %v\n", u, err)
	}
	// Output:
	// the state, 9 bytes, <nil>
	// an update, <nil>
}

// RestoreStream gives what Restore gives.
func TestRestoreStreamGivesWhatRestoreGives(t *testing.T) {
	for _, states := range [][]string{nil, {""}, {"s"}, {"old", strings.Repeat("x", 200_000)}} {
		var file bytes.Buffer
		w := stateio.NewWriter(&file, 0, 0)
		for _, s := range states {
			if err := errors.Join(w.Snapshot([]byte(s)), w.Update([]byte("after "+s))); err != nil {
				t.Fatal(err)
			}
		}
		r, limit := bytes.NewReader(file.Bytes()), int64(file.Len())
		want, epoch, _, err := stateio.Restore(r, limit)
		if err != nil {
			t.Fatal(err)
		}
		state, size, at, updates, err := stateio.RestoreStream(r, limit)
		if err != nil || at != epoch || (state == nil) != (want == nil) {
			t.Fatalf("epoch %d, want %d; state %v; %v", at, epoch, state, err)
		}
		if state == nil {
			if size != -1 {
				t.Errorf("without a snapshot, the size is %d", size)
			}
			continue
		}
		got, err := io.ReadAll(state)
		if err != nil || !bytes.Equal(got, want) || size != int64(len(want)) {
			t.Errorf("%d bytes, said to be %d, want %d; %v", len(got), size, len(want), err)
		}
		u, err := updates.Read()
		if err != nil || string(u) != "after "+states[len(states)-1] {
			t.Errorf("the update is %.20q, %v", u, err)
		}
	}
}

// changing is a file that changes once it was checked.
type changing struct {
	*bytes.Reader
	broken error
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	if c.broken != nil {
		if errors.Is(c.broken, stateio.ErrCorrupt) {
			for i := range p[:n] {
				p[i] ^= 0xff
			}
			return n, err
		}
		return 0, c.broken
	}
	return n, err
}

// Errors while the state is read are those of this package.
func TestRestoreStreamTellsErrors(t *testing.T) {
	var file bytes.Buffer
	w := stateio.NewWriter(&file, 0, 0)
	if err := w.Snapshot(make([]byte, 300_000)); err != nil {
		t.Fatal(err)
	}
	for _, broken := range []error{stateio.ErrCorrupt, io.ErrNoProgress} {
		c := &changing{Reader: bytes.NewReader(file.Bytes())}
		state, _, _, _, err := stateio.RestoreStream(c, int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		c.broken = broken
		if _, err := io.ReadAll(state); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "stateio: ") {
			t.Errorf("got error %v, want %v", err, broken)
		}
	}
	if _, _, _, _, err := stateio.RestoreStream(bytes.NewReader(nil), -1); err == nil {
		t.Error("a negative limit is accepted")
	}
	if err := w.Update([]byte("which shows that the snapshot was durable")); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(file.Bytes())
	damaged[50] ^= 1
	if _, _, _, _, err := stateio.RestoreStream(bytes.NewReader(damaged), int64(len(damaged))); !errors.Is(err, stateio.ErrCorrupt) {
		t.Errorf("a damaged file: %v", err)
	}
}
