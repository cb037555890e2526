package planted_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/crashtest/planted"
)

// sample returns every tenth of the bugs, from a random one of the first ten on.
// They are in the order of the tests that notice them, so that no large group of
// bugs is without one.
func sample(bugs []*planted.Bug) (few []*planted.Bug) {
	slices.SortFunc(bugs, func(a, b *planted.Bug) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Test, b.Test), cmp.Compare(a.Name, b.Name))
	})
	for i := rand.IntN(10); i < len(bugs); i += 10 {
		few = append(few, bugs[i])
	}
	return few
}

// Each bug is found by the test that its file names, for the reason that it
// names. A change that can't be applied, or does not compile, or a test that
// runs into its time limit, finds nothing.
func TestEveryPlantedBugIsCaught(t *testing.T) {
	root, bugs := setUp(t)
	if testing.Short() {
		bugs = sample(bugs)
		for _, b := range bugs {
			t.Logf("in the sample: %s", b.Name)
		}
	}
	var mu sync.Mutex
	var table []string
	t.Run("bug", func(t *testing.T) {
		for _, b := range bugs {
			t.Run(b.Name, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				catch(t, planted.Lab{Root: root, Dir: t.TempDir()}, b)
				mu.Lock()
				defer mu.Unlock()
				table = append(table, fmt.Sprintf("%-40s %-10s %-40s %4.1f s", b.Name, b.Package, b.Test, time.Since(start).Seconds()))
			})
		}
	})
	slices.Sort(table)
	t.Logf("%d bugs, the tests that caught them, and the time with the compiler's:\n%s", len(table), strings.Join(table, "\n"))
}

// All bugs can be planted in the code as it is: a change of the code that moves
// one out of reach is told in a moment.
func TestEveryBugCanStillBePlanted(t *testing.T) {
	root, bugs := setUp(t)
	for _, b := range bugs {
		for _, e := range b.Edits {
			src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.Path)))
			if err == nil {
				_, err = e.Apply(string(src))
			}
			if err != nil {
				t.Errorf("%s: %v", b.Name, err)
			}
		}
	}
}

// catch plants a bug and fails unless it is found.
func catch(t *testing.T, lab planted.Lab, b *planted.Bug) {
	program, err := lab.Build(t.Context(), b.Package, b)
	if err != nil {
		t.Fatal(err)
	}
	out, passed, err := lab.Run(t.Context(), program, b.Package, pattern(b.Test))
	switch {
	case err != nil:
		t.Fatal(err)
	case passed:
		t.Errorf("%s\nThe bug was not noticed by %s of %s.", b.Wrong, b.Test, b.Package)
	case strings.Contains(out, "panic: test timed out"):
		t.Errorf("%s\n%s of %s hung:\n%s", b.Wrong, b.Test, b.Package, brief(out))
	case !b.Says.MatchString(out):
		t.Errorf("%s\n%s of %s failed, and does not say %q:\n%s", b.Wrong, b.Test, b.Package, b.Says, brief(out))
	default:
		t.Logf("%s says: %s", b.Test, b.Says.FindString(out))
	}
}

// brief returns the beginning of what a test printed, without the names of tests
// that began.
func brief(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if b.Len() < 3000 && !strings.HasPrefix(line, "=== ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Without a bug, the tests that find them find nothing.
func TestNothingIsCaughtWhereNothingIsPlanted(t *testing.T) {
	if testing.Short() {
		t.Skip("not run: with -short, the tests themselves are run by their own packages only")
	}
	root, bugs := setUp(t)
	tests := map[string][]string{}
	for _, b := range bugs {
		if !slices.Contains(tests[b.Package], b.Test) {
			tests[b.Package] = append(tests[b.Package], b.Test)
		}
	}
	for pkg, names := range tests {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			lab := planted.Lab{Root: root, Dir: t.TempDir()}
			program, err := lab.Build(t.Context(), pkg, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				out, passed, err := lab.Run(t.Context(), program, pkg, pattern(name), "-test.short")
				if err != nil || !passed {
					t.Errorf("%s: %v\n%s", name, err, brief(out))
				}
			}
		})
	}
}

// pattern returns the pattern that the test of that name alone matches.
func pattern(name string) string { return "^" + strings.ReplaceAll(name, "/", "$/^") + "$" }

// setUp returns the root of the module and the bugs to plant in it.
func setUp(t *testing.T) (root string, bugs []*planted.Bug) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("not run: some of the bugs are in code for Linux")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("not run: there is no go command")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, root)
	files, err := filepath.Glob("testdata/*.bug")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := planted.Parse(file, string(text))
		if err != nil {
			t.Fatal(err)
		}
		bugs = append(bugs, b)
	}
	if len(bugs) < 30 {
		t.Fatalf("%d bugs were found, fewer than there are", len(bugs))
	}
	return root, bugs
}

// readAll reads every directory of the module, and by that makes the go command
// run these tests again when any file has changed: it can't see what their
// children read.
func readAll(t *testing.T, root string) {
	t.Helper()
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
