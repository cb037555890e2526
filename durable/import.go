package durable

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/store"
)

// importBatch is how many bytes of updates are made one.
const importBatch = 256 << 10

// ImportJSONL sets the keys and values that r has, as ExportJSONL has written them, and
// returns how many it has set, which are on the disk. What else is in the map stays. Two
// lines with the same key are an error: only one of their values would be kept. A line of any
// map may have a member "value", which is decoded as by [store.JSON]. Empty lines are passed
// over.
//
// An import is not one transaction: it is made in pieces of up to some hundred kilobytes,
// or of what an update may have, if that is less. If there is an error, the lines before it
// may have been set in part, those that n counts for sure; importing again is safe. The
// errors name the line; they are those of r, of the codec and of [Map.Put]:
// [store.ErrTooLarge] for a line that alone is larger than an update may be.
func (m *Map[K, V]) ImportJSONL(ctx context.Context, r io.Reader) (n int, err error) {
	i := importer[K, V]{m: m, limit: importBatch, first: map[K]int{}}
	in := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		text, rerr := in.ReadBytes('\n')
		if rerr != nil && rerr != io.EOF {
			return i.n, fmt.Errorf("durable: reading line %d to import: %w", number, rerr)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			key, value, err := m.m.parseLine(text)
			if err != nil {
				return i.n, fmt.Errorf("durable: importing line %d: %w", number, err)
			}
			if err := i.add(ctx, imported[K]{key, value, number}); err != nil {
				return i.n, err
			}
		}
		if rerr == io.EOF {
			err := i.flush(ctx)
			return i.n, err
		}
	}
}

// An imported is a line, parsed.
type imported[K cmp.Ordered] struct {
	key    K
	value  []byte // encoded
	number int
}

// An importer sets the keys of lines.
type importer[K cmp.Ordered, V any] struct {
	m     *Map[K, V]
	lines []imported[K] // not set yet
	size  int           // of them, as one update
	limit int           // of size, unless there is one line only
	n     int           // lines set
	first map[K]int     // the numbers of all lines that were added, by key
}

// add sets the key of l, at the latest with flush.
func (i *importer[K, V]) add(ctx context.Context, l imported[K]) error {
	if first, again := i.first[l.key]; again {
		return fmt.Errorf("durable: importing line %d: its key is that of line %d: remove one of the two lines", l.number, first)
	}
	i.first[l.key] = l.number
	size := i.m.m.keys.bytes(l.key) + len(l.value) + perLine
	if i.size+size > i.limit {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	i.lines = append(i.lines, l)
	i.size += size
	return nil
}

// perLine is about how many bytes an update has besides key and value.
const perLine = 8

// flush sets all that was added.
func (i *importer[K, V]) flush(ctx context.Context) error {
	err := i.set(ctx, i.lines)
	clear(i.lines)
	i.lines, i.size = i.lines[:0], 0
	return err
}

// set makes lines one update, or several, if it is too large: what the largest one is, only
// the keeper knows, and on a cluster the node that leads.
func (i *importer[K, V]) set(ctx context.Context, lines []imported[K]) error {
	if len(lines) == 0 {
		return nil
	}
	first, last := lines[0].number, lines[len(lines)-1].number
	update := i.encode(lines)
	_, err := i.m.update(ctx, update)
	switch {
	case err == nil:
		i.n += len(lines)
		return nil
	case len(lines) == 1:
		return fmt.Errorf("durable: importing line %d: %w", first, err)
	case !errors.Is(err, store.ErrTooLarge):
		return fmt.Errorf("durable: importing the lines from %d to %d: %w", first, last, err)
	}
	i.limit = min(i.limit, len(update)/2)
	half := len(lines) / 2
	if err := i.set(ctx, lines[:half]); err != nil {
		return err
	}
	return i.set(ctx, lines[half:])
}

// encode returns the update that sets the keys of lines. That of one line is the one of
// Put, which is the smallest: what was put can be imported.
func (i *importer[K, V]) encode(lines []imported[K]) []byte {
	keys := i.m.m.keys
	if len(lines) == 1 {
		l := lines[0]
		return append(keys.appendPut(nil, head(putKind, keys.class), l.key, 0), l.value...)
	}
	batch := batchWriter[K]{keys: keys}
	batch.reset(batchKind)
	for _, l := range lines {
		batch.put(l.key, l.value, 0)
	}
	return batch.buf
}
