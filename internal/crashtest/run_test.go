package crashtest

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// transcriptOf does the run of a seed and returns its transcript. The salts of the
// store are the same each time, too: the byte that a torn record leaves is zero, and
// no torn tail, with one in 256 of them.
func transcriptOf(t *testing.T, seed uint64) string {
	t.Helper()
	seedSalts(t, seed)
	var transcript strings.Builder
	if err := do(t, NewRun(seed, "/replayed", &transcript)); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	return transcript.String()
}

// seedSalts makes crypto/rand follow from a seed until the test ends.
func seedSalts(t *testing.T, seed uint64) {
	t.Helper()
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	before := rand.Reader
	t.Cleanup(func() { rand.Reader = before })
	rand.Reader = &oneByOne{r: mathrand.NewChaCha8(key)}
}

// oneByOne reads for one goroutine at a time.
type oneByOne struct {
	mu sync.Mutex
	r  io.Reader
}

func (o *oneByOne) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.r.Read(p)
}

// unordered is what a replay may do in another order: the store reads files of
// many blocks with several goroutines.
var unordered = regexp.MustCompile(`(?m)^\d+ (read .*\n)?`)

// Everything in a run follows from its seed, operation by operation: a failure
// can be replayed.
func TestARunIsReplayedFromItsSeed(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		a := unordered.ReplaceAllString(transcriptOf(t, seed), "")
		b := unordered.ReplaceAllString(transcriptOf(t, seed), "")
		if a == b {
			continue
		}
		at := 0
		for at < min(len(a), len(b)) && a[at] == b[at] {
			at++
		}
		t.Errorf("seed %d: the transcripts differ:\n%.500s\nand\n%.500s", seed, a[at:], b[at:])
	}
}

// A test of no states would pass, and is none.
func TestABudgetOfNothingIsRefused(t *testing.T) {
	for count, ok := range map[string]bool{"1": true, "0": false, "-5": false, "1e6": false} {
		t.Setenv("STATEIO_CRASH_COUNT", count)
		f := &failing{TB: t}
		var wg sync.WaitGroup
		wg.Go(func() { NewBudget(f, 7) })
		wg.Wait()
		if f.failed == ok {
			t.Errorf("a count of %s: refused is %v", count, f.failed)
		}
	}
}

// failing is a test that notes whether it has failed.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Helper() {}

func (f *failing) Fatal(...any) {
	f.failed = true
	runtime.Goexit()
}

func (f *failing) Fatalf(string, ...any) { f.Fatal() }
