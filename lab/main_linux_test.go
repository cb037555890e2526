//go:build amd64 || arm64

package lab

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/lab/kernel"
)

// noMounts says why file systems can't be mounted; nil: they can.
var noMounts error

// TestMain is also the program that the engines start as a child.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(placeEnv); dir != "" {
		if err := usePlace(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	noMounts = kernel.EnterNamespace()
	os.Exit(m.Run())
}

// needMounts skips a test that can't mount a file system of that kind, and
// returns a disk image with an empty one.
func needMounts(t *testing.T, k kernel.FileSystem) (image string) {
	t.Helper()
	if noMounts != nil {
		t.Skip(noMounts)
	}
	image = filepath.Join(t.TempDir(), "empty-"+k.Name)
	switch err := k.Make(image); {
	case isMissing(err):
		t.Skipf("there is no %s", k.Mkfs[0])
	case err != nil:
		t.Fatal(err)
	}
	dir := t.TempDir()
	switch m, err := k.Mount(image, dir, ""); {
	case isMissing(err):
		t.Skipf("the kernel has no %s, or no loop devices: %v", k.Name, err)
	case err != nil:
		t.Fatal(err)
	default:
		if err := m.Unmount(); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// A budget is what a test may use up.
type budget struct {
	crashtest.Budget
	states int64
	start  time.Time
	rng    *rand.Rand // of seeds
}

// newBudget returns the budget of a test that reaches count states by default,
// fewer with -short, and to which that share of the package's time belongs.
func newBudget(t *testing.T, count int64, share float64) *budget {
	t.Helper()
	if testing.Short() {
		count = max(1, count/5)
	}
	b := &budget{Budget: crashtest.NewBudget(t, count), start: time.Now()}
	b.Time = time.Duration(float64(b.Time) * share)
	b.rng = rand.New(rand.NewPCG(rand.Uint64(), 0))
	return b
}

// runs calls run with seeds until the budget is used up or one fails. run returns
// the number of states that it reached and judged.
func (b *budget) runs(t *testing.T, run func(seed uint64) (states int, err error)) {
	t.Helper()
	n := 0
	for b.more() || n == 0 {
		seed := cmp.Or(b.Seed, b.rng.Uint64()|1)
		states, err := run(seed)
		b.states += int64(states)
		n++
		if err != nil {
			t.Errorf("%v\nSTATEIO_CRASH_SEED=%d repeats what was drawn", err, seed)
			break
		}
		if b.Seed != 0 {
			break
		}
	}
	took := time.Since(b.start)
	t.Logf("%d states of %d runs in %v: %.1f a second", b.states, n, took.Round(time.Millisecond), float64(b.states)/took.Seconds())
}

func (b *budget) more() bool {
	if b.Time > 0 {
		return time.Since(b.start) < b.Time
	}
	return b.states < b.Count
}

// keepImage says where a copy of a disk image is, if one is wanted.
func keepImage(name string, write func(f *os.File) error) string {
	dir := os.Getenv("STATEIO_CRASH_KEEP")
	if dir == "" {
		return "set STATEIO_CRASH_KEEP to a directory to have the disk image"
	}
	f, err := os.CreateTemp(dir, name+"-*.img")
	if err == nil {
		err = write(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return "keeping the disk image failed: " + err.Error()
	}
	return "the disk image is " + f.Name()
}

func pick[T any](rng *rand.Rand, values ...T) T { return values[rng.IntN(len(values))] }

// lookFor skips a test that needs a program which is not there.
func lookFor(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("there is no %s", program)
	}
	return path
}

// isMissing tells whether err says that a program, a device or a kind of file
// system is not there.
func isMissing(err error) bool {
	for _, missing := range []error{exec.ErrNotFound, unix.ENODEV, unix.ENOENT, unix.EPERM, unix.EACCES} {
		if errors.Is(err, missing) {
			return true
		}
	}
	return false
}
