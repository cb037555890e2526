package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"

	"github.com/cespare/xxhash/v2"
	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/logio"
)

// errOther is the error for a file that holds another state than it should.
var errOther = errors.New("the state that was written is not the one that was read")

// current returns the current epoch of a state file; one of zeros if the file is
// empty.
func current(file *os.File, size int64) (stateio.Epoch, error) {
	for e, err := range stateio.Epochs(file, size) {
		return e, err
	}
	return stateio.Epoch{}, nil
}

// longEntry is the length in bytes from which on an entry is read in pieces.
const longEntry = 1 << 20

// sameState returns an error unless the first n bytes of dst are the entries of an
// epoch of src and nothing else, as those of epoch 0. It reads both at the same
// time, from front to back, checks every record, and tells passed how far it is in
// dst. The entries are compared by a hash: accidents, not attackers, are what it is
// for.
func sameState(ctx context.Context, src *os.File, epoch stateio.Epoch, dst *os.File, n int64, passed func(off int64)) error {
	var want digest
	done := make(chan error, 1)
	go func() { done <- want.read(ctx, src, int64(epoch.Offset), epoch.End, nil) }()
	var got digest
	err := got.read(ctx, dst, 0, n, passed)
	wantErr := <-done
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case wantErr != nil:
		return fmt.Errorf("reading %s again: %w", src.Name(), wantErr)
	case err != nil:
		return fmt.Errorf("reading back what was written: %w", err)
	case got.end != n:
		return fmt.Errorf("%w: there is no entry from offset %d on", errOther, got.end)
	case got.entries != want.entries || got.sum != want.sum || got.linked:
		return errOther
	}
	return nil
}

// A digest is what the entries of an epoch come down to: kind, payload and length
// of each, but not the epoch that they name.
type digest struct {
	sum     uint64
	entries int64
	end     int64 // of the last entry
	linked  bool  // an entry names another epoch than 0
}

// read adds the entries of file from start to end, and tells passed, unless that is
// nil, how far it is.
func (d *digest) read(ctx context.Context, file *os.File, start, end int64, passed func(off int64)) error {
	log := logio.NewReader(io.NewSectionReader(file, start, end-start), start)
	log.SetMaxEntry(longEntry)
	d.end = start
	for ; ; d.entries++ {
		if d.entries%1024 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if passed != nil {
				passed(d.end)
			}
		}
		b, err := log.Read()
		size := int64(len(b))
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, logio.ErrTooLong):
			size, err = d.long(file, log.Offset(), end)
		case err == nil:
			err = d.short(b)
		}
		if err != nil {
			return fmt.Errorf("at offset %d: %w", log.Offset(), err)
		}
		d.end = log.Offset() + record.EntrySize(log.Offset(), size)
	}
}

// add adds an entry, whose payload has that hash. The hash depends on the length.
func (d *digest) add(head entry.Head, payload uint64) {
	d.linked = d.linked || head.Epoch != 0
	d.sum = bits.RotateLeft64(d.sum, 17)*0x9e3779b97f4a7c15 + payload + uint64(head.Kind)
}

var errNoEntry = errors.New("this is no entry of a state file")

// short adds an entry that was read.
func (d *digest) short(b []byte) error {
	h, payload, ok := entry.Split(b)
	if !ok {
		return errNoEntry
	}
	d.add(h, xxhash.Sum64(payload))
	return nil
}

// long adds the entry that starts at off, in pieces, and returns its size.
func (d *digest) long(file *os.File, off, end int64) (int64, error) {
	data, err := logio.NewReader(io.NewSectionReader(file, off, end-off), off).Stream()
	if err != nil {
		return 0, err
	}
	var head [entry.HeadSize]byte
	if _, err := io.ReadFull(data, head[:]); err != nil {
		return 0, err
	}
	h, _, ok := entry.Split(head[:])
	if !ok {
		return 0, errNoEntry
	}
	payload := xxhash.New()
	n, err := io.Copy(payload, data)
	d.add(h, payload.Sum64())
	return n + entry.HeadSize, err
}
