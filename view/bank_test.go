package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A bank is a machine of accounts.
type bank struct {
	mu       sync.Mutex
	Accounts map[string]int
}

type transfer struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int    `json:"amount"`
	Note   string `json:"note"`
}

func newBank() store.Machine { return &bank{Accounts: map[string]int{}} }

func (b *bank) Apply(update []byte) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var t transfer
	if err := json.Unmarshal(update, &t); err != nil {
		return nil, err
	}
	b.Accounts[t.From] -= t.Amount
	b.Accounts[t.To] += t.Amount
	return nil, nil
}

func (b *bank) Restore(r io.Reader) error { return json.NewDecoder(r).Decode(&b.Accounts) }

func (b *bank) Snapshot() (io.WriterTo, error) {
	state, err := json.Marshal(b.Accounts)
	return bytes.NewReader(state), err
}

// A clock is the file system of the computer, with a time of its own.
type clock struct {
	fsys.OS
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Hold implements fsys.FS.
func (c *clock) Hold(dir string) (fsys.Held, error) {
	held, err := c.OS.Hold(dir)
	return heldClock{held, c}, err
}

type heldClock struct {
	fsys.Held
	c *clock
}

func (h heldClock) Now() time.Time { return h.c.Now() }

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var names = strings.Fields("ada bo cleo dan eve finn gus hana ivo june kim leo mona nils olga pia")

// rounds is how many snapshots a bank's store has, less one; each has some updates before
// it.
const rounds = 3

// makeBank makes a store of a bank in dir, with a working day of updates.
func makeBank(t *testing.T, dir string, updates int) {
	t.Helper()
	makeBankFrom(t, dir, updates, time.Date(2026, 3, 2, 7, 30, 0, 0, time.UTC))
}

// makeBankFrom makes a store of a bank whose first update is made at a time.
func makeBankFrom(t *testing.T, dir string, updates int, start time.Time) {
	t.Helper()
	c := &clock{now: start}
	dir, err := filepath.Abs(dir) // the directory that the store is on
	if err != nil {
		t.Fatal(err)
	}
	unmount := storefs.Mount(dir, c)
	defer unmount()
	s, err := store.Open(dir, newBank(), &store.Options{
		SnapshotBytes: -1, KeepSnapshots: 9, PreallocateBytes: 32 << 10, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range updates {
		c.pass(time.Duration(rnd.ExpFloat64() * float64(time.Second) * (4 + 16*rnd.Float64()*float64((i/200)%3))))
		b, err := json.Marshal(transfer{names[rnd.IntN(len(names))], names[rnd.IntN(len(names))], 1 + rnd.IntN(500), fmt.Sprintf("order %d", 1000+i)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if i%(updates/rounds) == updates/rounds-1 && i < updates-5 {
			if err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// breakFile inverts n bytes of a file in dir.
func breakFile(t *testing.T, dir, name string, off int64, n int) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b[int(off)+i] ^= 0x55
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
