package main

import (
	"errors"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

// lines are what was logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// The data of a kv that was no node is refused where it is, and goes along with -from, once.
func TestANodeBeginsWithTheDataOfAStore(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "st"), filepath.Join(dir, "node")
	k, err := open(from, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.set(t.Context(), "key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none")) // it is not needed
	args := []string{"-id", "a", "-raft", freeAddr(t), "-dir"}
	start := func(more ...string) (keys, error) {
		c, err := parse(append(args[:len(args):len(args)], more...))
		if err != nil {
			t.Fatal(err)
		}
		c.node.Heartbeat = 100 * time.Millisecond
		return c.open(t.Context())
	}
	if _, err := start(from); !errors.Is(err, cluster.ErrIdentity) {
		t.Fatalf("a node in the directory of the store: %v", err)
	}
	if _, err := start(to, "-from", filepath.Join(dir, "nothing")); err == nil {
		t.Fatal("there is nothing to begin with, and it is taken")
	}
	said, logger, out, flags := &lines{}, slog.Default(), log.Writer(), log.Flags()
	defer func() { slog.SetDefault(logger); log.SetOutput(out); log.SetFlags(flags) }()
	slog.SetDefault(slog.New(slog.NewTextHandler(said, nil)))
	for _, want := range []string{"value", "another"} { // from the store, and then from the node
		k, err := start(to, "-from", from)
		if err != nil {
			t.Fatal(err)
		}
		v, err := k.now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := v.Get("key"); string(got) != want {
			t.Errorf("the value is %q, and should be %q", got, want)
		}
		if says := said.has("-from is not used"); says != (want == "another") {
			t.Errorf("that -from is not used is said: %v", says)
		}
		if _, err := k.set(t.Context(), "key", []byte("another")); err != nil {
			t.Fatal(err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if err := os.Rename(from, from+"-put-away"); err != nil && want == "value" {
			t.Fatal(err)
		}
	}
	k, err = start(filepath.Join(dir, "again"), "-from", to) // from a node
	if err != nil {
		t.Fatal(err)
	}
	v, err := k.now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := v.Get("key"); string(got) != "another" {
		t.Errorf("the value is %q, and should be that of the node", got)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	left := filepath.Join(dir, "left", "wal", "file") // a first start was killed, or of another program
	if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o700), os.WriteFile(left, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := start(filepath.Join(dir, "left"), "-from", to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a directory that has something, and no node: %v", err)
	}
	if _, err := parse([]string{"-from", from}); err == nil {
		t.Error("-from is taken without -id")
	}
	if _, err := parse(append(args, to, "-from", from, "-join", "127.0.0.1:1")); err == nil {
		t.Error("-from is taken with -join")
	}
}
