package planted

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Lab plants bugs in the module whose root directory is Root.
type Lab struct {
	Root string
	Dir  string // for everything that is made; whoever owns it removes it
}

// overlay writes the files that b changes and returns the path of the file that
// tells the go command to take them in place of the real ones. Of the tests of b's
// package, that leaves what b's needs.
func (l Lab) overlay(b *Bug) (string, error) {
	files, err := prune(filepath.Join(l.Root, filepath.FromSlash(b.Package)), b.Test)
	if err != nil {
		return "", err
	}
	for _, e := range b.Edits {
		path := filepath.Join(l.Root, filepath.FromSlash(e.Path))
		src, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if files[path], err = e.Apply(string(src)); err != nil {
			return "", err
		}
	}
	replace := map[string]string{}
	for path, text := range files {
		if text == "" {
			replace[path] = "" // as if it were not there
			continue
		}
		replace[path] = filepath.Join(l.Dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.Dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// Build compiles the tests of a package, or with bug b in it, unless b is nil, as
// many of them as the one needs that notices it. It returns the path of the
// program.
func (l Lab) Build(ctx context.Context, pkg string, b *Bug) (string, error) {
	program := filepath.Join(l.Dir, "planted.test")
	args := []string{"test", "-c", "-ldflags=-s -w", "-o", program}
	if b != nil {
		list, err := l.overlay(b)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", list)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = l.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the tests of %s: %w\n%s", pkg, err, out)
	}
	return program, nil
}

// states is how many crash states a crash test has to find a bug: a fifth of
// what it goes through without one.
const states = 200_000

// Run runs the tests that match pattern, of package pkg, whose program Build has
// made. It stops at the first failure, and returns what was printed and whether
// the tests passed. The error says that they could not run.
func (l Lab) Run(ctx context.Context, program, pkg, pattern string, args ...string) (out string, passed bool, err error) {
	cmd := exec.CommandContext(ctx, program, append([]string{"-test.run", pattern, "-test.v", "-test.failfast", "-test.timeout", timeout.String()}, args...)...)
	cmd.Dir = filepath.Join(l.Root, filepath.FromSlash(pkg))
	cmd.Env = append(slices.DeleteFunc(os.Environ(), ours), fmt.Sprintf("STATEIO_CRASH_COUNT=%d", states), "TMPDIR="+l.Dir)
	var tail tail
	cmd.Stdout, cmd.Stderr = &tail, &tail
	err = cmd.Run()
	out = tail.String()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, false, ctx.Err()
	case errors.As(err, &exit):
		return out, false, nil
	case err == nil && !strings.Contains(out, "--- PASS: "):
		return out, false, fmt.Errorf("no test of %s matches %s", pkg, pattern)
	}
	return out, err == nil, err
}

// timeout ends a test that does not end by itself, which is no proof of anything.
const timeout = 5 * time.Minute

// ours reports whether a variable of the environment is a budget for others.
func ours(variable string) bool { return strings.HasPrefix(variable, "STATEIO_") }

// A tail keeps the beginning and the end of what is written: a test that fails
// may print a transcript of everything.
type tail struct{ head, rest []byte }

var _ io.Writer = (*tail)(nil)

// keep is how much of either is kept, in bytes.
const keep = 1 << 20

func (t *tail) Write(p []byte) (int, error) {
	n := min(len(p), keep-len(t.head))
	t.head = append(t.head, p[:n]...)
	if t.rest = append(t.rest, p[n:]...); len(t.rest) > 2*keep {
		t.rest = append(t.rest[:0], t.rest[len(t.rest)-keep:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.head) + string(t.rest) }
