package durable

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/tidwall/btree"

	"github.com/stateio/stateio/store"
)

// A snapshot of a map is
//
//	snapshot = "dmap" | version uint8 = 1 or 2 | class uint8 | count uint64
//	         | { length { key length value } } 0 | { length { key deadline } } 0
//	         | now from { length { key changed } } 0     in version 2
//
// with the keys in order, the count of them in little endian, lengths as uvarints,
// deadlines, now, from and changed, of a history, as varints, and frames, which a length
// begins, of frameBytes or more. The map of a store has no history, and does not need one.
const (
	snapshotMagic = "dmap"
	plainSnapshot = 1
	withHistory   = 2
	frameBytes    = 64 << 10
	maxFrame      = 2 << 30 // more than the largest update
)

// A captured is the state of a map as it was when it was captured.
type captured[K cmp.Ordered, V any] struct {
	tree      *tree[K, V]
	deadlines *btree.Map[K, int64]
	history   *capturedHistory[K] // or nil
	keys      keyCodec[K]
	codec     store.Codec[V]
}

// Snapshot implements [store.Machine]. It takes as long for a large map as for a small
// one.
func (m *machine[K, V]) Snapshot() (io.WriterTo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return captured[K, V]{m.freezeLocked().tree, m.deadlines.of.Copy(), m.history.capture(), m.keys, m.codec}, nil
}

// WriteTo writes a snapshot.
func (c captured[K, V]) WriteTo(w io.Writer) (n int64, err error) {
	out := &frameWriter{w: w}
	version := byte(plainSnapshot)
	if c.history != nil {
		version = withHistory
	}
	h := append([]byte(snapshotMagic), version, byte(c.keys.class))
	out.write(binary.LittleEndian.AppendUint64(h, uint64(c.tree.Len())))
	var value []byte
	c.tree.Scan(func(key K, v cell[V]) bool {
		if value, err = c.codec.Append(value[:0], v.v); err != nil {
			err = fmt.Errorf("durable: encoding the value of key %s: %w", shown(key), err)
			return false
		}
		out.frame = c.keys.append(out.frame, key)
		out.frame = append(binary.AppendUvarint(out.frame, uint64(len(value))), value...)
		if len(out.frame) >= frameBytes {
			out.flush()
		}
		return out.err == nil
	})
	if err != nil {
		return out.n, err
	}
	out.end()
	writeNumbers(out, c.keys, c.deadlines)
	if c.history != nil {
		c.history.writeTo(out, c.keys)
	}
	return out.n, out.err
}

// writeNumbers writes the number of each key.
func writeNumbers[K cmp.Ordered](out *frameWriter, keys keyCodec[K], of *btree.Map[K, int64]) {
	of.Scan(func(key K, n int64) bool {
		out.frame = binary.AppendVarint(keys.append(out.frame, key), n)
		if len(out.frame) >= frameBytes {
			out.flush()
		}
		return out.err == nil
	})
	out.end()
}

// A frameWriter writes frames, up to the first error.
type frameWriter struct {
	w     io.Writer
	frame []byte
	n     int64 // bytes written
	err   error
}

// flush writes the frame, unless it is empty.
func (f *frameWriter) flush() {
	if len(f.frame) > 0 {
		f.write(binary.AppendUvarint(nil, uint64(len(f.frame))))
		f.write(f.frame)
		f.frame = f.frame[:0]
	}
}

// end ends a sequence of frames.
func (f *frameWriter) end() {
	f.flush()
	f.write([]byte{0})
}

func (f *frameWriter) write(b []byte) {
	if f.err == nil {
		var n int
		n, f.err = f.w.Write(b)
		f.n += int64(n)
	}
}

// Restore implements [store.Machine]. Frames are decoded by as many goroutines as there
// are processors, and put into tree and hash table concurrently.
func (m *machine[K, V]) Restore(snapshot io.Reader) error {
	r := bufio.NewReaderSize(snapshot, frameBytes)
	version, count, err := m.readHeader(r)
	if err != nil {
		return err
	}
	tree, hash := newTree[K, V](), newHash[K, V](int(min(count, maxReserved)))
	err = m.readFrames(r,
		func(key K, value cell[V]) { tree.Load(key, value) },
		func(key K, value cell[V]) {
			if hash != nil {
				hash[key] = value
			}
		})
	if err == nil && uint64(tree.Len()) != count {
		err = fmt.Errorf("durable: the snapshot has %d keys, and says that it has %d", tree.Len(), count)
	}
	if err != nil {
		return err
	}
	d := newDeadlines[K](m.sooner)
	if err := readNumbers(r, m.keys, func(key K, at int64) { d.ranking.set(key, at) }); err != nil {
		return err
	}
	var h *history[K]
	if m.history != nil {
		if h, err = readHistory(r, m.keys, version); err != nil {
			return err
		}
	}
	// What keeps the state may find only at its end that it is damaged.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("durable: reading a snapshot: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var rebuilt []func()
	for _, x := range m.indexes { // first, since the user's functions may panic
		rebuilt = append(rebuilt, x.rebuild(tree))
	}
	if m.txn != nil { // a state that the store's Replace installs
		m.txn.keep(m.tree)
		m.txn.replaced = true
	}
	m.tree, m.hash, m.deadlines, m.history = tree, hash, d, h
	m.index, m.located = 0, false
	m.frozen.Store(nil)
	for _, commit := range rebuilt {
		commit()
	}
	d.changed() // now that these are the machine's
	return nil
}

// readNumbers calls do for what writeNumbers has written.
func readNumbers[K cmp.Ordered](r *bufio.Reader, keys keyCodec[K], do func(key K, n int64)) error {
	for {
		b, err := readFrame(r)
		if err != nil || b == nil {
			return err
		}
		for len(b) > 0 {
			key, rest, err := keys.parse(b)
			n, w := binary.Varint(rest)
			if err == nil && w <= 0 {
				err = errors.New("it ends within a number")
			}
			if err != nil {
				return fmt.Errorf("durable: the snapshot can't be read: %w", err)
			}
			do(key, n)
			b = rest[w:]
		}
	}
}

// maxReserved is for how many keys memory is taken before they are there.
const maxReserved = 1 << 22

// readFrames reads frames, and calls each function with their keys and values in order.
// It returns, or panics with what the codec has panicked with, when all of its goroutines
// have ended.
func (m *machine[K, V]) readFrames(r *bufio.Reader, do ...func(K, cell[V])) error {
	ahead := runtime.GOMAXPROCS(0) // frames that are decoded at a time
	var users sync.WaitGroup
	var queues []chan *frame[K, V]
	for _, do := range do {
		q := make(chan *frame[K, V], ahead)
		queues = append(queues, q)
		users.Go(func() {
			for f := range q {
				<-f.done
				for i, key := range f.keys {
					do(key, f.values[i])
				}
			}
		})
	}
	var frames []*frame[K, V] // that may be being decoded
	var err error
	var threw *codecPanic
	wait := func(f *frame[K, V]) error {
		<-f.done
		threw = cmp.Or(threw, f.threw)
		return f.err
	}
	for err == nil {
		var b []byte
		if b, err = readFrame(r); err != nil || b == nil {
			break
		}
		f := &frame[K, V]{done: make(chan struct{})}
		frames = append(frames, f)
		go f.decode(m, b)
		for _, q := range queues {
			q <- f
		}
		if len(frames) > ahead {
			err, frames = wait(frames[0]), frames[1:]
		}
	}
	for _, f := range frames {
		err = errors.Join(err, wait(f))
	}
	for _, q := range queues {
		close(q)
	}
	users.Wait()
	if threw != nil {
		panic(threw)
	}
	return err
}

// readHeader returns the version of the snapshot, and how many keys follow.
func (m *machine[K, V]) readHeader(r *bufio.Reader) (version byte, count uint64, err error) {
	var h [len(snapshotMagic) + 2 + 8]byte
	if b, _ := r.Peek(len(valueMagic)); string(b) == valueMagic { // it may be shorter than h
		return 0, 0, errHoldsValue
	}
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, fmt.Errorf("durable: reading the header of a snapshot: %w", err)
	}
	magic, rest := h[:len(snapshotMagic)], h[len(snapshotMagic):]
	version = rest[0]
	c := class(rest[1])
	switch {
	case string(magic) != snapshotMagic:
		return 0, 0, errors.New("durable: the snapshot is not that of a map: open the directory with the program that made it")
	case version != plainSnapshot && version != withHistory:
		return 0, 0, fmt.Errorf("durable: the snapshot is of version %d, and this program knows versions up to %d: it was made by a newer one, use that", version, withHistory)
	case c != m.keys.class:
		return 0, 0, fmt.Errorf("durable: the map has keys that are %v, not %v: open it with the type of keys that it was made with", c, m.keys.class)
	}
	return version, binary.LittleEndian.Uint64(rest[2:]), nil
}

// readFrame returns the next frame, nil at the end of a sequence of them.
func readFrame(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err == nil && n > maxFrame {
		err = fmt.Errorf("a frame of %d bytes", n)
	}
	if err == nil && n == 0 {
		return nil, nil
	}
	var b []byte
	if err == nil {
		b = make([]byte, n)
		_, err = io.ReadFull(r, b)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("durable: reading a snapshot: %w", err)
	}
	return b, nil
}
