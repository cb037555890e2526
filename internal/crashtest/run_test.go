package crashtest

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"regexp"
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

// Whatever is drawn at times happens in some runs, and each kind of error comes
// back from the store.
func TestRunsAreAsRichAsIsSaid(t *testing.T) {
	missing := map[string]bool{}
	for _, mark := range []string{
		"-- generation 3, after a power cut before rename", "-- generation 5, after a power cut", "-- generation 5, after being killed",
		"-- meanwhile, 6 updates", "-- meanwhile, 1 updates",
		"-- snapshot\n", "-- reopening\n", "torn bytes off", "-- importing\n",
		"-- following from update", "-- reading updates", "-- the state of index",
		"-- the disk has", "-- there is space again", "-- the update: store: setting", "-- the snapshot: store: making a",
		"for ever: true", "revert: true", "after: true", "-- store: ", "-- the snapshot: store: ", "-- closing: store: /replayed has failed",
		"-- the update: store: /replayed has failed", "-- restoring index", "-- following: ",
		"-- LOCK is removed", "-- all files are linked", ".log.copy.tmp -> /replayed", "-- refused: ", "function not implemented",
		"input/output error", "no space left on device", "disk quota exceeded", "file too large", "too many open files",
	} {
		missing[mark] = true
	}
	for seed := uint64(1); len(missing) > 0 && seed <= 1500; seed++ {
		transcript := transcriptOf(t, seed)
		for mark := range missing {
			if strings.Contains(transcript, mark) {
				delete(missing, mark)
			}
		}
	}
	for mark := range missing {
		t.Errorf("no transcript has %q", mark)
	}
}
