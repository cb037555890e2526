//go:build amd64 || arm64

package lab

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/internal/crashtest"
)

// A process whose files must not grow beyond RLIMIT_FSIZE gets short writes and
// EFBIG; the Go runtime takes care of SIGXFSZ. Nothing is acknowledged that is not on the disk,
// and what is there opens when the limit is gone.
func TestCrashFileSizeLimit(t *testing.T) {
	for _, s := range []subject{aStore, aStateFile} {
		t.Run(s.name, func(t *testing.T) {
			limits := &limits{t: t, subject: s}
			newBudget(t, 60, 0.02).runs(t, limits.run)
			t.Logf("%d processes met the limit", limits.met)
			if limits.met == 0 {
				t.Error("no process met the limit")
			}
		})
	}
}

type limits struct {
	t       *testing.T
	subject subject
	met     int // processes that the limit stopped
}

// run is one store's or file's, in several processes.
func (r *limits) run(seed uint64) (states int, err error) {
	rng := rand.New(rand.NewPCG(seed, 0xf517e))
	dir, hist := r.t.TempDir(), crashtest.NewHistory()
	for generation := range 4 {
		o := order{
			Subject: r.subject.name, Dir: dir, Seed: rng.Uint64(), Turns: hist.Turns(), Steps: 1 + rng.IntN(40),
			FileSize: 1 + rng.Int64N(1<<(4+rng.IntN(17))),
		}
		ended, err := once(r.t, o, hist, nil)
		if err == nil {
			err = r.account(ended)
		}
		if err == nil && rng.IntN(2) == 0 {
			err = judge(r.subject, dir, hist)
		}
		if err != nil {
			return states, fmt.Errorf("generation %d, %+v: %w", generation, o, err)
		}
		states++
	}
	return states, judge(r.subject, dir, hist)
}

// account counts the processes that met the limit. None ends in another way.
func (r *limits) account(ended error) error {
	switch {
	case ended == nil:
	case strings.Contains(ended.Error(), unix.EFBIG.Error()):
		r.met++
	default:
		return fmt.Errorf("the process ended: %w", ended)
	}
	return nil
}
