package store_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// logged returns options with a logger, and a function that returns what was
// logged since the last call, without times.
func logged(o store.Options) (opts *store.Options, lines func() string) {
	var b lockedBuilder
	o.Logger = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "recovery" {
				return slog.Attr{} // it has times, too
			}
			return a
		},
	}))
	return &o, b.take
}

// A lockedBuilder is for what is logged from any goroutine.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was written since the last call.
func (l *lockedBuilder) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// What an operator must know is logged, once, with what tells where; and nothing
// else is, however much is done.
func TestWhatIsLogged(t *testing.T) {
	const dir = "/logged"
	const opened = `level=INFO msg="store: open" dir=` + dir + "\n"
	mem, fs := memory(t, dir)
	m := &troubled{}
	m.snapshot = m.journal.Snapshot
	opts, lines := logged(store.Options{SnapshotBytes: -1, PreallocateBytes: 1})
	slashed := strings.NewReplacer(`\\`, "/", `\`, "/") // quoted or not
	want := func(what, want string) {
		t.Helper()
		want = slashed.Replace(want)
		got := slashed.Replace(lines())
		for end := time.Now().Add(10 * time.Second); got != want && strings.HasPrefix(want, got) && time.Now().Before(end); {
			runtime.Gosched() // what is logged comes a little later
			got += slashed.Replace(lines())
		}
		if got != want {
			t.Errorf("%s: logged\n%swant\n%s", what, got, want)
		}
	}

	s, err := store.Open(dir, m, opts)
	check(t, err)
	want("opening", strings.Replace(opened, "INFO", "DEBUG", 1)) // there is nothing to tell
	for i := range 100 {
		update(t, s, fmt.Sprint(i))
	}
	if _, err := s.Update(t.Context(), []byte("refuse")); !errors.Is(err, errRefused) {
		t.Errorf("got error %v, want that of the machine", err)
	}
	check(t, s.Snapshot(t.Context()))
	want("work", "")

	m.snapshot = func() (io.WriterTo, error) { return nil, errors.New("no state") }
	update(t, s, "more")
	if s.Snapshot(t.Context()) == nil {
		t.Error("a snapshot without a state was made")
	}
	want("a snapshot that fails", `level=ERROR msg="store: snapshot failed, the log is kept" dir=/logged error="store: Snapshot of the machine: no state"`+"\n")

	fs.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: syscall.EIO})
	for range 3 {
		_, err = s.Update(t.Context(), []byte("lost"))
		wantIs(t, err, store.ErrFailed)
	}
	wantIs(t, s.Close(), store.ErrFailed)
	want("a failure", `level=ERROR msg="store: failed" dir=/logged error="store: committing to /logged/00000000000000000100.log: datasync /logged/00000000000000000100.log: input/output error"`+"\n")

	fl := readFiles(t, mem, dir)
	log, snap := "00000000000000000100.log", "00000000000000000100.snap"
	fl[log] = append(fl[log], 1)
	end := headerLen + 2*(entryLen+4) // "more", and "lost", which has come through
	fl[snap][headerLen+20] ^= 1
	mount(t, dir, fl.mem(t, dir))
	s, err = store.Open(dir, &troubled{}, opts)
	check(t, err)
	refused := fmt.Sprintf(`level=WARN msg="store: snapshot is damaged, an older one was used" path=%s/%s error=%q`+"\n", dir, snap, s.Recovery().Refused[0].Err)
	torn := fmt.Sprintf(`level=WARN msg="store: cut off the remainder of an unfinished commit" path=%s/%s offset=%d bytes=%d`+"\n", dir, log, end, len(fl[log])-end)
	want("a recovery", refused+torn+opened)
	check(t, s.Close())
	want("closing", "")
}

// toldTo returns a logger that sends each line to told.
func toldTo(told chan<- string) *slog.Logger {
	return slog.New(slog.NewTextHandler(toldLines(told), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type toldLines chan<- string

func (l toldLines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
