package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// A verdict is what a run of tests found.
type verdict struct {
	ok     bool
	output string
	took   time.Duration
}

// A limit is what a run may take. A mutant that loops meets the first, one that
// waits for ever the second, however busy the machine is.
type limit struct {
	cpu  time.Duration
	wall time.Duration
}

// limitFor returns the limit of a run that took d without a mutant.
func limitFor(d time.Duration) limit {
	return limit{cpu: time.Second + 5*d, wall: 10*time.Second + 10*d}
}

// maxMemory is the address space that a run may use, in bytes. Test binaries
// reserve up to some hundred MiB of it.
const maxMemory = 8 << 30

// run runs the named tests of b, all at once, with env in addition.
func (b *binary) run(ctx context.Context, tests, env []string, l limit) (verdict, error) {
	quoted := make([]string, len(tests))
	for i, t := range tests {
		quoted[i] = regexp.QuoteMeta(t)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Without a timeout of its own, the test ends by itself when all wait.
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -t "$1"; ulimit -v "$2"; shift 2; exec "$@"`, "sh",
		fmt.Sprint(int(l.cpu/time.Second)+1), fmt.Sprint(maxMemory>>10),
		b.path, "-test.short", "-test.failfast", "-test.timeout=0", "-test.run=^("+strings.Join(quoted, "|")+")$")
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	together(cmd)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return verdict{}, fmt.Errorf("running the tests of %s: %w", b.pkg, err)
	}
	late := make(chan bool)
	done := make(chan struct{})
	go func() { late <- endAfter(l.wall, done, cancel) }()
	err := cmd.Wait()
	close(done)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // a process that it started holds its output
	}
	v := verdict{ok: err == nil, output: out.String(), took: time.Since(start)}
	if <-late {
		v.output += "\n--- FAIL: in time\n"
	}
	return v, nil
}

// endAfter calls end after d, unless done is closed before, and reports whether
// it did. Time in which this process does not run, as when the machine sleeps,
// does not count.
func endAfter(d time.Duration, done <-chan struct{}, end func()) bool {
	const step = 50 * time.Millisecond
	ticks := time.NewTicker(step)
	defer ticks.Stop()
	for ; d > 0; d -= step {
		select {
		case <-done:
			return false
		case <-ticks.C:
		}
	}
	end()
	<-done
	return true
}

// tests returns the names of b's tests, examples and fuzz targets.
func (b *binary) tests(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, b.path, "-test.list=^(Test|Example|Fuzz)")
	cmd.Dir = b.dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests of %s: %w", b.pkg, err)
	}
	return strings.Fields(string(out)), nil
}
