package store_test

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/store"
)

// Open tells how far it is.
func TestOpenTellsHowFarItIs(t *testing.T) {
	const dir = "/opening"
	fl := longStore(t)
	mount(t, dir, fl.mem(t, dir))
	var progress told
	s := open(t, dir, &crashtest.Machine{}, &store.Options{SnapshotBytes: -1, Progress: progress.add})
	progress.verify(t, 1<<20)
	want := 2 * int64(len(fl["00000000000000004040.snap"]))
	for name, b := range fl {
		if strings.HasSuffix(name, ".log") && name >= "00000000000000004040.log" {
			want += int64(len(b))
		}
	}
	if progress.total[0] != want || len(progress.done) < 2 {
		t.Errorf("told %d times of %d bytes, want %d", len(progress.done), progress.total[0], want)
	}
	check(t, s.Close())
}

// A leisurely machine takes a second for each MiB of its state.
type leisurely struct{ crashtest.Machine }

func (m *leisurely) Restore(r io.Reader) error { return m.Machine.Restore(&leisurelyReader{r: r}) }

type leisurelyReader struct {
	r io.Reader
	n int
}

func (l *leisurelyReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), 64<<10)])
	if l.n += n; l.n >= 1<<20 {
		l.n -= 1 << 20
		time.Sleep(time.Second)
	}
	return n, err
}

// An Open that takes long tells the operator how far it is, ever more seldom.
func TestASlowOpenTellsTheOperator(t *testing.T) {
	fl := largeSnapshot(t)
	synctest.Test(t, func(t *testing.T) {
		const dir = "/slow"
		mount(t, dir, fl.mem(t, dir))
		var log strings.Builder
		s, err := store.Open(dir, &leisurely{}, &store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		check(t, err)
		check(t, s.Close())
		lines := slices.DeleteFunc(strings.Split(log.String(), "\n"), func(line string) bool {
			return !strings.Contains(line, `msg="store: opening" dir=/slow read=`)
		})
		if len(lines) != 2 || !strings.Contains(lines[0], " for=5s") || !strings.Contains(lines[1], " for=10s") {
			t.Errorf("in 16 s it was said:\n%s", &log)
		}
	})
}
