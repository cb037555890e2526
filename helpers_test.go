package stateio_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio"
)

const block = 32 << 10

// errWrong marks an outcome that no damage excuses: data that was never
// written, or data missing without an error.
var errWrong = errors.New("wrong data")

// A model is a state file as its format has it, made without the packages under
// test: the entries, what they must be restored to, and every byte.
type model struct {
	ops  []op
	file []byte
}

// An op is one entry.
type op struct {
	snapshot   bool
	data       []byte
	start, end int64
	epoch      uint64 // current after it
}

// entry appends an entry: one byte of kind, eight of epoch, the payload.
func (m *model) entry(snapshot bool, data []byte) *model {
	kind, before := byte(1), m.epoch()
	if snapshot {
		kind = 2
	}
	head := binary.LittleEndian.AppendUint64([]byte{kind}, before)
	o := op{snapshot: snapshot, data: data, epoch: before}
	m.file, o.start = appendLog(m.file, append(head, data...))
	o.end = int64(len(m.file))
	if snapshot {
		o.epoch = uint64(o.start)
	}
	m.ops = append(m.ops, o)
	return m
}

func (m *model) update(data []byte) *model   { return m.entry(false, data) }
func (m *model) snapshot(data []byte) *model { return m.entry(true, data) }

// epoch is the current one.
func (m *model) epoch() uint64 {
	if len(m.ops) == 0 {
		return 0
	}
	return m.ops[len(m.ops)-1].epoch
}

// prefix is the model of the first n entries. It shares no spare capacity.
func (m *model) prefix(n int) *model {
	p := &model{ops: m.ops[:n:n]}
	if n > 0 {
		p.file = m.file[:m.ops[n-1].end:m.ops[n-1].end]
	}
	return p
}

// whole is how many entries lie in the first cut bytes.
func (m *model) whole(cut int64) int {
	for n, o := range m.ops {
		if o.end > cut {
			return n
		}
	}
	return len(m.ops)
}

// current returns the ops of the current epoch, its snapshot included.
func (m *model) current() []op {
	for i := len(m.ops) - 1; i >= 0; i-- {
		if m.ops[i].snapshot {
			return m.ops[i:]
		}
	}
	return m.ops
}

// compare restores the first limit bytes of r. It returns nil if they hold the
// model's content, errWrong for any other content, and the error of Restore or
// of the reader if what came before it was right.
func (m *model) compare(r io.ReaderAt, limit int64) error {
	state, epoch, updates, err := stateio.Restore(r, limit)
	if err != nil {
		return err
	}
	if epoch != m.epoch() {
		return fmt.Errorf("%w: epoch %d, want %d", errWrong, epoch, m.epoch())
	}
	return matchEpoch(m.current(), state, updates)
}

// matchEpoch compares the content of one epoch, as compare does.
func matchEpoch(want []op, state []byte, updates *stateio.Reader) error {
	if len(want) > 0 && want[0].snapshot {
		if state == nil || !bytes.Equal(state, want[0].data) {
			return fmt.Errorf("%w: a state of %d bytes, nil: %v, want %d", errWrong, len(state), state == nil, len(want[0].data))
		}
		want = want[1:]
	} else if state != nil {
		return fmt.Errorf("%w: a state of %d bytes, want none", errWrong, len(state))
	}
	for i, o := range want {
		switch b, err := updates.Read(); {
		case err == io.EOF:
			return fmt.Errorf("%w: %d updates, want %d", errWrong, i, len(want))
		case err != nil:
			return err
		case !bytes.Equal(b, o.data):
			return fmt.Errorf("%w: update %d has %d bytes, want %d", errWrong, i, len(b), len(o.data))
		}
	}
	switch b, err := updates.Read(); {
	case err == nil:
		return fmt.Errorf("%w: an update of %d bytes after the last one", errWrong, len(b))
	case err != io.EOF:
		return err
	}
	return nil
}

// appendLog appends an entry to a log as the format has it, record by record,
// and returns where its first record starts.
func appendLog(file, payload []byte) (longer []byte, start int64) {
	if left := block - len(file)%block; left <= 15 {
		file = append(file, make([]byte, left)...)
	}
	at := len(file)
	for first := true; first || len(payload) > 0; first = false {
		n := min(len(payload), block-len(file)%block-15)
		kind := byte(3)
		switch last := n == len(payload); {
		case first && last:
			kind = 1
		case first:
			kind = 2
		case last:
			kind = 4
		}
		file = appendRecord(file, kind, uint64(len(file)-at), payload[:n])
		payload = payload[n:]
	}
	return file, int64(at)
}

// appendRecord appends one record.
func appendRecord(file []byte, kind byte, offset uint64, data []byte) []byte {
	rec := binary.LittleEndian.AppendUint16([]byte{kind}, uint16(len(data)))
	rec = binary.LittleEndian.AppendUint64(rec, offset)
	rec = append(rec, data...)
	file = binary.LittleEndian.AppendUint32(file, uint32(xxhash.Sum64(rec)))
	return append(file, rec...)
}

// bytesOf returns n bytes that no other call with another seed returns.
func bytesOf(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// randomModel is a model of n entries of random kinds and sizes.
func randomModel(rng *rand.Rand, n int) *model {
	m := &model{}
	for range n {
		size := rng.IntN(200)
		switch rng.IntN(10) {
		case 0:
			size = 0
		case 1:
			size = rng.IntN(3 * block)
		case 2: // end near a block's end
			size = max(0, block-len(m.file)%block-24-rng.IntN(40)+20)
		}
		m.entry(rng.IntN(4) == 0, bytesOf(rng.Uint64(), size))
	}
	return m
}

// tempFile returns a file with the given content, in memory where possible: a
// sweep makes hundreds of thousands of states.
func tempFile(t testing.TB, content []byte) *os.File {
	t.Helper()
	dir := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		dir = "/dev/shm"
	}
	f, err := os.CreateTemp(dir, "stateio-test-*.state")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close(); _ = os.Remove(f.Name()) })
	fill(t, f, content)
	return f
}

// fill makes content all that f holds.
func fill(t testing.TB, f *os.File, content []byte) {
	t.Helper()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
}

// content returns all that f holds.
func content(t testing.TB, f *os.File) []byte {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if n, err := f.ReadAt(b, 0); n != len(b) {
		t.Fatal(err)
	}
	return b
}

// reopen returns the writer that NewFileWriter makes of f, which must succeed
// and leave exactly the model's bytes, or whatever is there if it has no entry yet.
func reopen(t testing.TB, f *os.File, m *model) *stateio.Writer {
	t.Helper()
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	if len(m.ops) == 0 {
		return w // what is there and is no entry stays until there is one
	}
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(m.file)) {
		t.Fatalf("the opened file has %d bytes, %v, want %d", info.Size(), err, len(m.file))
	}
	return w
}

// must appends an update to the file and the model.
func must(t testing.TB, w *stateio.Writer, m *model, update []byte) {
	t.Helper()
	if err := w.Update(update); err != nil {
		t.Fatal(err)
	}
	m.update(update)
}

// count is how many states a random test tries: few with -short, more by a
// factor that the environment variable STATEIO_SWEEP sets.
func count(n int) int {
	if testing.Short() {
		return max(1, n/20)
	}
	return n * sweep()
}

// sweep is what STATEIO_SWEEP says, 1 if it is not set. From 2 on, sweeps that
// are sampled go over their whole range.
func sweep() int {
	n, err := strconv.Atoi(os.Getenv("STATEIO_SWEEP"))
	if err != nil {
		return 1
	}
	return max(1, n)
}
