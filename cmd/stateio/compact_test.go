package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stateio/stateio"
)

// stateFile returns a file with entries: a snapshot for each payload that
// begins with "=", an update for any other.
func stateFile(t *testing.T, payloads ...string) (*os.File, int64) {
	t.Helper()
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	for _, p := range payloads {
		write := w.Update
		if p[0] == '=' {
			write = w.Snapshot
		}
		if err := write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file, int64(b.Len())
}

func TestAFileThatWasReplacedIsNotWrittenTo(t *testing.T) {
	src, _ := stateFile(t, "=state", "one")
	file, err := openDirect(src.Name(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := compactInPlace(t.Context(), src.Name(), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	if w, err := (opening{}).writer(file, src.Name()); w != nil || err != nil {
		t.Fatalf("%v, %v", w, err)
	}
}

func TestAppendBesideCompactLosesNothing(t *testing.T) {
	const updates = 30
	path := filepath.Join(t.TempDir(), "app.state")
	a, err := newAppender(path, opening{create: true, warn: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := compactInPlace(t.Context(), path, io.Discard, io.Discard)
			if err != nil && !errors.Is(err, stateio.ErrLocked) {
				t.Error(err)
				return
			}
		}
	})
	var want strings.Builder
	for i := range updates {
		update := strconv.Itoa(i)
		want.WriteString(update + "\n")
		for {
			err := appendOne(path, update)
			if err == nil {
				break
			}
			if !errors.Is(err, stateio.ErrLocked) {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
	if restored, _ := runStateio(t, 0, nil, "restore", path); restored != want.String() {
		t.Fatalf("restored %d of %d updates", strings.Count(restored, "\n"), updates)
	}
}

// appendOne appends an update, durably.
func appendOne(path, update string) error {
	a, err := newAppender(path, opening{warn: io.Discard})
	if err != nil {
		return err
	}
	return errors.Join(a.add([]byte(update)), a.commit(), a.close())
}
