package damage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/stateio/stateio/bench/child"
)

// A base is files of an engine before and after the last update.
type base struct {
	Test
	before, after image
	must          []uint64 // numbers that were acknowledged before the last
	last          uint64
	file          string // that the last update went to
	start, end    int64  // of the bytes there that it changed
}

// base has a process write updates one by one, and kills it.
func (t Test) base(ctx context.Context) (*base, error) {
	dir := filepath.Join(t.Dir, "base")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := t.job(dir).Start(ctx)
	if err != nil {
		return nil, err
	}
	b := &base{Test: t}
	if b.before, err = b.written(w, dir, t.Updates); err == nil {
		b.after, err = b.written(w, dir, 1)
	}
	err = errors.Join(err, w.Kill())
	w.Wait()
	if err := errors.Join(err, w.Failed()); err != nil {
		return nil, err
	}
	b.must, b.last = b.must[:t.Updates], b.must[t.Updates]
	return b, errors.Join(b.locate(), os.RemoveAll(dir))
}

// written lets w make updates, and takes an image of dir afterwards.
func (b *base) written(w *child.Writer, dir string, updates int) (image, error) {
	if err := w.Tell(updates); err != nil {
		return nil, err
	}
	for range updates {
		number, err := w.Acknowledged()
		if err != nil {
			return nil, err
		}
		b.must = append(b.must, number)
	}
	return take(dir)
}

// locate finds what the last update changed: of the files that updates are written to,
// the one of which it changed most.
func (b *base) locate() error {
	limit := int64(math.MaxInt64)
	if b.Engine.LastWrite > 0 {
		limit = b.Engine.LastWrite
	}
	for name, c := range b.after {
		for _, pattern := range b.Engine.Logs {
			if ok, err := filepath.Match(filepath.FromSlash(pattern), name); err != nil || !ok {
				continue
			}
			if start, end := c.changed(b.before[name], limit); end-start > b.end-b.start {
				b.file, b.start, b.end = name, start, end
			}
		}
	}
	if b.file == "" {
		return fmt.Errorf("an acknowledged update changed no file like %q", b.Engine.Logs)
	}
	return nil
}
