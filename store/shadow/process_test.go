package shadow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stateio/stateio/store"
	"github.com/stateio/stateio/store/shadow"
)

// shadowEnv says what a child of these tests is to do.
const shadowEnv = "STATEIO_TEST_SHADOW"

func TestMain(m *testing.M) {
	if os.Getenv("APP_SHADOW") != "" {
		ExampleProcess() // ran this program again
		return
	}
	switch os.Getenv(shadowEnv) {
	case "":
		os.Exit(m.Run())
	case "serve":
		fmt.Print("x") // too early
	case "early":
		fmt.Print(strings.Repeat("hello, what I print comes first. ", 20))
	case "another": // build, as its greeting says
		_, _ = os.Stdout.WriteString("g\n\x01\x00another!")
	case "dies":
		os.Exit(3)
	case "diverges":
		_ = shadow.Serve(&counts{words: words{N: map[string]int{}}, drift: true})
	case "refuses":
		_ = shadow.Serve(&counts{words: words{N: map[string]int{}}, refuses: "b"})
	case "ends":
		_ = shadow.Serve(&counts{words: words{N: map[string]int{}}, ends: "b"})
	case "ends asked":
		_ = shadow.Serve(&counts{words: words{N: map[string]int{}}, endsAsked: "b"})
	case "ends restored":
		_ = shadow.Serve(&endsRestored{})
	case "stuck":
		_ = shadow.Serve(&stuck{})
	case "parent":
		p := shadow.Process(child("stuck", new(int)))()
		_, _ = p.(store.TimedMachine).ApplyAt(time.Time{}, 1, nil)
		_ = p.(store.Settler).Settle() // which does not return
	case "plain":
		_ = shadow.Serve(&words{N: map[string]int{}, prints: true})
	default:
		if err := shadow.Serve(&counts{words: words{N: map[string]int{}}}); err != nil {
			log.Fatal(err)
		}
	}
}

// words counts words, and when the last one came.
type words struct {
	N    map[string]int
	Last time.Time

	prints bool // what goes to standard output
}

func (w *words) Apply(update []byte) (any, error) {
	if w.prints {
		fmt.Println("a line that is not for the store")
	}
	w.N[string(update)]++
	return w.N[string(update)], nil
}

// Snapshot returns the state itself, not a copy: nothing else may use it until it is closed.
func (w *words) Snapshot() (io.WriterTo, error) {
	return store.WriterFunc(func(out io.Writer) error { return json.NewEncoder(out).Encode(w) }), nil
}

func (w *words) Restore(r io.Reader) error {
	*w = words{N: map[string]int{}, prints: w.prints}
	return json.NewDecoder(r).Decode(w)
}

// counts are words that know the time, and their digest.
type counts struct {
	words
	drift         bool
	refuses, ends string
	endsAsked     string // it ends when it is asked for the digest of a state with that word
}

func (c *counts) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	switch string(update) {
	case c.refuses:
		return nil, errors.New("no such word")
	case c.ends:
		os.Exit(7)
	}
	if c.drift {
		c.N["drift"]++
	}
	c.Last = at
	c.N["index"] = int(index)
	return c.Apply(update)
}

func (c *counts) StateDigest() (sum uint64) {
	if c.N[c.endsAsked] > 0 {
		os.Exit(8)
	}
	for word, n := range c.N {
		sum += uint64(len(word) * n)
	}
	return sum + uint64(c.Last.UnixNano())
}

// stuck is a machine that does not return, and says on standard error that it is called.
type stuck struct{ words }

func (*stuck) Apply([]byte) (any, error) {
	fmt.Fprintln(os.Stderr, "stuck")
	select {}
}

// endsRestored is a machine that ends when it is given a state.
type endsRestored struct{ words }

func (*endsRestored) Restore(io.Reader) error {
	os.Exit(9)
	return nil
}

// child returns what makes the commands of a child that does so, and counts them.
func child(mode string, made *int) func() *exec.Cmd {
	return func() *exec.Cmd {
		*made++
		exe, err := os.Executable()
		if err != nil {
			panic(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), shadowEnv+"="+mode)
		return cmd
	}
}

// shadowed opens a store whose snapshots are made by a child.
func shadowed(t *testing.T, dir string, m store.Machine, command func() *exec.Cmd) *store.Store {
	t.Helper()
	s, err := store.Open(dir, m, &store.Options{SnapshotBytes: -1, Logger: slog.New(slog.DiscardHandler), Shadow: shadow.Process(command)})
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, s *store.Store, word string) {
	t.Helper()
	_, err := s.Update(t.Context(), []byte(word))
	check(t, err)
}

// A process makes the snapshots, one after the other, also after it was given a snapshot, and
// a store that is opened has what it wrote.
func TestAProcessMakesTheSnapshots(t *testing.T) {
	dir, made := t.TempDir(), 0
	m := &counts{words: words{N: map[string]int{}}}
	s := shadowed(t, dir, m, child("good", &made))
	for i := range 5 {
		for range 20 {
			update(t, s, fmt.Sprint("word", i))
		}
		update(t, s, strings.Repeat("long", 30_000))
		check(t, s.Snapshot(t.Context()))
	}
	check(t, s.Close())
	if made != 1 {
		t.Errorf("%d processes", made)
	}
	again := &counts{words: words{N: map[string]int{}}}
	s = shadowed(t, dir, again, child("good", &made))
	if s.Recovery().SnapshotIndex != 105 || again.StateDigest() != m.StateDigest() || again.N["word3"] != 20 {
		t.Errorf("recovered %v from snapshot %d", again.N, s.Recovery().SnapshotIndex)
	}
	update(t, s, "more")
	check(t, s.Snapshot(t.Context()))
	_, err := s.Replace(t.Context(), strings.NewReader(`{"N": {"other": 3}}`))
	check(t, err)
	check(t, s.Snapshot(t.Context()))
	var b strings.Builder
	_, err = s.Backup(t.Context(), &b)
	check(t, err)
	if !strings.Contains(b.String(), `"other":3`) || made != 2 {
		t.Errorf("%d processes, and the backup is %q", made, b.String())
	}
}

// A machine without a time and a digest can be one in a process, which may print.
func TestAProcessOfAPlainMachine(t *testing.T) {
	dir, made := t.TempDir(), 0
	s := shadowed(t, dir, &words{N: map[string]int{}}, child("plain", &made))
	update(t, s, "a")
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	m := &words{N: map[string]int{}}
	_, err := store.Load(t.Context(), dir, m)
	if err != nil || m.N["a"] != 1 {
		t.Errorf("%v, %v", m.N, err)
	}
}

// Half of a state is no state, whatever the machine says of it, and the next is.
func TestAProcessIsNotGivenHalfAState(t *testing.T) {
	p := shadow.Process(child("good", new(int)))()
	defer p.(io.Closer).Close()
	broken := errors.New("broken")
	if err := p.Restore(io.MultiReader(strings.NewReader(`{"N": {"a": 1}}`), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("half a state: %v", err)
	}
	check(t, p.Restore(strings.NewReader(`{"N": {"b": 2}}`)))
	state, err := p.Snapshot()
	check(t, err)
	var b strings.Builder
	_, err = state.WriteTo(&b)
	if check(t, err); !strings.Contains(b.String(), `"N":{"b":2}`) {
		t.Errorf("the state is %q", b.String())
	}
	if err := p.Restore(strings.NewReader("no state")); err == nil || errors.Is(err, store.ErrShadowGone) {
		t.Errorf("what is no state: %v", err)
	}
}

// What goes wrong with a process fails the snapshot, with what to look for, and no update.
func TestAProcessThatIsOfNoUse(t *testing.T) {
	for name, c := range map[string]struct {
		command func() *exec.Cmd
		want    string
	}{
		"no command":     {nil, "needs a function"},
		"a nil command":  {func() *exec.Cmd { return nil }, "made no command"},
		"no such file":   {func() *exec.Cmd { return exec.Command(filepath.Join(t.TempDir(), "none")) }, "starting the process"},
		"prints early":   {child("early", new(int)), "or prints something before"},
		"another build":  {child("another", new(int)), "it is another build of the program"},
		"prints a bit":   {child("serve", new(int)), "has ended: "},
		"ends early":     {child("dies", new(int)), "has ended: exit status 3"},
		"ends in Apply":  {child("ends", new(int)), "has ended: exit status 7"},
		"refuses":        {child("refuses", new(int)), "replaying update 2: "},
		"another state":  {child("diverges", new(int)), "the state is not the one to which the log leads"},
		"stdin is taken": {func() *exec.Cmd { cmd := child("good", new(int))(); cmd.Stdin = strings.NewReader(""); return cmd }, "Serve needs both"},
	} {
		t.Run(name, func(t *testing.T) {
			s := shadowed(t, t.TempDir(), &counts{words: words{N: map[string]int{}}}, c.command)
			update(t, s, "a")
			update(t, s, "b")
			err := s.Snapshot(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the snapshot: %v", err)
			}
			var refused *store.ReplayError
			if is := errors.As(err, &refused); is != (name == "refuses") || is && refused.Index != 2 || errors.Is(err, store.ErrShadowGone) == strings.Contains("refuses another state", name) {
				t.Errorf("the snapshot: %#v", err)
			}
			update(t, s, "c")
			check(t, s.Close())
		})
	}
}

// A process that ends while it is given a state that no pipe holds is gone, and the error says
// how it has ended.
func TestAProcessThatEndsWhileItIsGivenAState(t *testing.T) {
	p := shadow.Process(child("ends restored", new(int)))()
	defer p.(io.Closer).Close()
	err := p.Restore(strings.NewReader(strings.Repeat("state", 1<<20)))
	if !errors.Is(err, store.ErrShadowGone) || !strings.Contains(err.Error(), "has ended: exit status 9") {
		t.Errorf("Restore: %v", err)
	}
}

// After a process was killed, the snapshot that finds out fails, and the next is made by
// another one.
func TestAProcessThatWasKilledIsStartedAgain(t *testing.T) {
	made := 0
	var last *exec.Cmd
	command := child("good", &made)
	s := shadowed(t, t.TempDir(), &counts{words: words{N: map[string]int{}}}, func() *exec.Cmd {
		last = command()
		return last
	})
	update(t, s, "a")
	check(t, s.Snapshot(t.Context()))
	check(t, last.Process.Kill())
	update(t, s, "b")
	err := s.Snapshot(t.Context())
	if err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("the snapshot after a kill: %v", err)
	}
	check(t, s.Snapshot(t.Context()))
	if s.Stats().SnapshotIndex != 2 || made != 2 {
		t.Errorf("a snapshot of index %d, %d processes", s.Stats().SnapshotIndex, made)
	}
}

// A process may end while it is asked for anything, for its digest, too.
func TestAProcessThatEndsInItsDigest(t *testing.T) {
	made := 0
	s := shadowed(t, t.TempDir(), &counts{words: words{N: map[string]int{}}}, child("ends asked", &made))
	update(t, s, "a")
	check(t, s.Snapshot(t.Context()))
	update(t, s, "b")
	if err := s.Snapshot(t.Context()); !errors.Is(err, store.ErrShadowGone) {
		t.Errorf("the snapshot: %v", err)
	}
}

// Close does not wait for a process that is stopped, and ends it.
func TestCloseEndsAProcessThatHangs(t *testing.T) {
	made := 0
	var last *exec.Cmd
	command := child("good", &made)
	s := shadowed(t, t.TempDir(), &counts{words: words{N: map[string]int{}}}, func() *exec.Cmd {
		last = command()
		return last
	})
	update(t, s, "a")
	check(t, s.Snapshot(t.Context()))
	stop(t, last.Process)
	update(t, s, "b")
	var snapshot sync.WaitGroup
	snapshot.Go(func() {
		if err := s.Snapshot(context.Background()); err == nil {
			t.Error("a process that is stopped has made a snapshot")
		}
	})
	check(t, s.Close())
	snapshot.Wait()
	for end := time.Now().Add(time.Minute); !errors.Is(last.Process.Signal(syscall.Signal(0)), os.ErrProcessDone); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the process has not ended")
		}
	}
}
