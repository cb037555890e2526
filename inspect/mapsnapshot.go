package inspect

import (
	"errors"
	"io"

	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefile"
)

// walkSnapshot is Parts of a snapshot of a store. After damage there is nothing that can
// be used. The error is one of reading.
func (m *Map) walkSnapshot(f MapFile, yield func(Part, error) bool) error {
	file, size, err := storefile.Open(m.dir.FS, f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	r, err := storefile.NewSnapReader(file, f.Path, f.Base, size)
	if err != nil {
		return broken(file, size, err, yield)
	}
	defer r.Close()
	if !yield(Part{End: r.HeaderEnd(), Content: ContentHeader, Index: f.Base, Time: f.Time}, nil) {
		return nil
	}
	for {
		chunk, from, to, err := r.Chunk()
		p := Part{Offset: from, End: to, Content: ContentState, Index: f.Base, Time: f.Time, Size: int64(len(chunk)), Prefix: prefix(chunk), data: chunk}
		switch {
		case err == io.EOF:
			p.Content, p.Size, p.Prefix = ContentEnd, 0, nil
			yield(p, nil)
			return nil
		case err != nil:
			return broken(file, size, err, yield)
		case !yield(p, nil):
			return nil
		}
	}
}

// broken emits the damage that err tells of, and what follows it. Another error it
// returns.
func broken(r io.ReaderAt, size int64, err error, yield func(Part, error) bool) error {
	var damage *storefile.CorruptError
	if errors.Is(err, storefile.ErrVersion) {
		yield(Part{End: size, Content: ContentStranded, Reason: err.Error()}, nil)
		return nil
	}
	if !errors.As(err, &damage) {
		return err
	}
	p := Part{Offset: damage.Offset, Content: ContentDamage, Place: Current, Reason: damage.Err.Error()}
	if p.End, err = soundAfter(r, p.Offset, size); err != nil {
		return err
	}
	if yield(p, nil) && p.End < size {
		yield(Part{Offset: p.End, End: size, Content: ContentStranded, Reason: "it is of no use without what is damaged before it"}, nil)
	}
	return nil
}

// soundAfter returns where the first record begins, after the one at off, that is valid
// and starts an entry: limit if there is none.
func soundAfter(r io.ReaderAt, off, limit int64) (int64, error) {
	var block record.Block
	buf := make([]byte, record.BlockSize)
	for start := off - off%record.BlockSize; start < limit; start += record.BlockSize {
		b, err := record.ReadAt(r, buf, start, limit)
		if err != nil {
			return 0, err
		}
		block.Parse(b)
		for _, rec := range block.Records {
			if at := start + int64(rec.Pos); at > off && rec.Type.Starts() {
				return at, nil
			}
		}
	}
	return limit, nil
}
