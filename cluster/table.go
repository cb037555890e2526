package cluster

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	// maxWindow is how far the numbers of a session's updates may be apart that
	// are waited for at the same time. A node keeps within a part of it.
	maxWindow = 1 << 20
	// maxSessions is how many sessions are remembered.
	maxSessions = 4096
	// sessionLife is how long a session is remembered after its last update, in
	// the log's time.
	sessionLife = 24 * time.Hour
	// KeyLife is how long a key of UpdateOnce is remembered, in the time of the
	// cluster's log.
	KeyLife = time.Hour
	// MaxKeys is how many keys of UpdateOnce are remembered at the same time. Further
	// ones are refused until older ones have expired.
	MaxKeys = 1 << 20
)

// A table remembers which updates were applied, so that one that is sent twice is
// applied once. It is part of the replicated state: what it does depends on
// nothing but the entries of the log.
type table struct {
	last     uint64 // number of the last session that began
	sessions map[uint64]*session

	keys  map[[keySize]byte]int // place in order, plus dropped
	order []onceKey             // oldest first; never changed but at both ends
	gone  int                   // how many were removed from order
}

// A onceKey is a key of UpdateOnce that was used.
type onceKey struct {
	key     [keySize]byte
	time    int64
	index   uint64 // of the update; if it was refused, of the one before
	refused bool
}

// A session knows which of its updates were applied.
type session struct {
	nonce [nonceSize]byte
	used  int64  // time of its last update
	low   uint64 // what is below was applied, or is not waited for any more
	base  uint64 // number that the first bit of done stands for; a multiple of 64
	done  []uint64
}

func newTable() *table {
	return &table{sessions: map[uint64]*session{}, keys: map[[keySize]byte]int{}}
}

// begin makes a session, and forgets those that are too old or too many.
func (t *table) begin(nonce [nonceSize]byte, now int64) uint64 {
	var oldest uint64
	for id, s := range t.sessions {
		if now-s.used > int64(sessionLife) {
			delete(t.sessions, id)
		} else if o := t.sessions[oldest]; o == nil || s.used < o.used || s.used == o.used && id < oldest {
			oldest = id
		}
	}
	if len(t.sessions) >= maxSessions {
		delete(t.sessions, oldest)
	}
	t.last++
	t.sessions[t.last] = &session{nonce: nonce, used: now}
	return t.last
}

// raise says that updates below low are not waited for.
func (s *session) raise(low uint64) {
	if low <= s.low {
		return
	}
	s.low = low
	if n := (low - s.base) / 64; n >= uint64(len(s.done)) {
		s.done, s.base = s.done[:0], low/64*64
	} else if n > 0 {
		s.done = append(s.done[:0], s.done[n:]...)
		s.base += 64 * n
	}
}

// has reports whether the update was applied, or must not be any more.
func (s *session) has(seq uint64) bool {
	if seq < s.low {
		return true
	}
	i := (seq - s.base) / 64
	return i < uint64(len(s.done)) && s.done[i]>>(seq%64)&1 != 0
}

// add says that the update is applied.
func (s *session) add(seq uint64) {
	i := (seq - s.base) / 64
	for uint64(len(s.done)) <= i {
		s.done = append(s.done, 0)
	}
	s.done[i] |= 1 << (seq % 64)
}

// expire forgets the keys that are too old.
func (t *table) expire(now int64) {
	n := 0
	for n < len(t.order) && now-t.order[n].time > int64(KeyLife) {
		delete(t.keys, t.order[n].key)
		n++
	}
	t.order = t.order[n:]
	t.gone += n
}

// once returns the earlier use of a key.
func (t *table) once(key *[keySize]byte) (onceKey, bool) {
	i, ok := t.keys[*key]
	if !ok {
		return onceKey{}, false
	}
	return t.order[i-t.gone], true
}

// remember remembers the use of a key.
func (t *table) remember(k onceKey) {
	t.keys[k.key] = t.gone + len(t.order)
	t.order = append(t.order, k)
}

// captured is a table as it was at some time.
type captured struct {
	last     uint64
	ids      []uint64
	sessions []session
	order    []onceKey
}

// capture returns the table as it is now. Keys are shared, since they don't change.
func (t *table) capture() captured {
	c := captured{last: t.last, order: t.order[:len(t.order):len(t.order)]}
	for id := range t.sessions {
		c.ids = append(c.ids, id)
	}
	slices.Sort(c.ids)
	for _, id := range c.ids {
		s := *t.sessions[id]
		s.done = slices.Clone(s.done)
		c.sessions = append(c.sessions, s)
	}
	return c
}

// writeTo writes c so that readTable makes an equal table of it.
func (c captured) writeTo(w io.Writer) error {
	put := func(values ...any) (err error) {
		for _, v := range values {
			if err == nil {
				err = binary.Write(w, binary.LittleEndian, v)
			}
		}
		return err
	}
	if err := put(c.last, uint32(len(c.ids))); err != nil {
		return err
	}
	for i, s := range c.sessions {
		if err := put(c.ids[i], s.nonce, s.used, s.low, s.base, uint32(len(s.done)), s.done); err != nil {
			return err
		}
	}
	if err := put(uint32(len(c.order))); err != nil {
		return err
	}
	var b []byte
	for _, k := range c.order {
		b = append(b[:0], k.key[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(k.time))
		b = binary.LittleEndian.AppendUint64(b, k.index<<1|bit(k.refused))
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// readTable reads what writeTo has written.
func readTable(r io.Reader) (*table, error) {
	t := newTable()
	get := func(values ...any) (err error) {
		for _, v := range values {
			if err == nil {
				err = binary.Read(r, binary.LittleEndian, v)
			}
		}
		return err
	}
	var n uint32
	if err := get(&t.last, &n); err != nil {
		return nil, err
	}
	if n > maxSessions {
		return nil, fmt.Errorf("%w: it has %d sessions, and there can't be more than %d", errDamagedSnapshot, n, maxSessions)
	}
	for range n {
		var id uint64
		var words uint32
		s := &session{}
		if err := get(&id, &s.nonce, &s.used, &s.low, &s.base, &words); err != nil {
			return nil, err
		}
		if words > maxWindow/64+2 {
			return nil, fmt.Errorf("%w: a session waits for %d words of updates", errDamagedSnapshot, words)
		}
		s.done = make([]uint64, words)
		if err := get(s.done); err != nil {
			return nil, err
		}
		t.sessions[id] = s
	}
	return t, t.readKeys(r)
}

func (t *table) readKeys(r io.Reader) error {
	var b [keySize + 16]byte
	if _, err := io.ReadFull(r, b[:4]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(b[:])
	if n > MaxKeys {
		return fmt.Errorf("%w: it has %d keys, and there can't be more than %d", errDamagedSnapshot, n, MaxKeys)
	}
	for range n {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		index := binary.LittleEndian.Uint64(b[keySize+8:])
		t.remember(onceKey{
			key: [keySize]byte(b[:]), time: int64(binary.LittleEndian.Uint64(b[keySize:])),
			index: index >> 1, refused: index&1 != 0,
		})
	}
	return nil
}
