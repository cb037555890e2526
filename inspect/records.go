package inspect

import (
	"fmt"

	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/storefile"
)

// A Record is one of those that entries are cut into, or a stretch of a block that holds
// no valid one.
type Record struct {
	Offset, End int64  // in the file, in bytes, header included
	Type        string // FULL, FIRST, MIDDLE or LAST, as docs/FORMAT.md has them; empty: none is here
	Sum         uint32 // the checksum
	Entry       int64  // where the entry starts that the record belongs to
	Reason      string // why there is none
}

// BlockSize is the size of the blocks that files consist of, in bytes. No record crosses
// the end of one.
const BlockSize = record.BlockSize

// Records returns the records of the block of file i of m in which offset off lies; those
// at its end that are zeros are left out. An offset outside the file has none. The error
// is one of reading.
func (m *Map) Records(i int, off int64) ([]Record, error) {
	f, size, err := storefile.Open(m.dir.FS, m.Files[i].Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if off < 0 || off >= size {
		return nil, nil
	}
	start := off - off%BlockSize
	b, err := record.ReadAt(f, make([]byte, BlockSize), start, size)
	if err != nil {
		return nil, fmt.Errorf("inspect: reading %s at offset %d: %w", m.Files[i].Path, start, err)
	}
	var k record.Block
	k.Parse(b)
	records, gaps := k.Records, k.Gaps
	var out []Record
	for len(records)+len(gaps) > 0 {
		if len(gaps) == 0 || len(records) > 0 && records[0].Pos < gaps[0].From {
			r := records[0]
			records = records[1:]
			at := start + int64(r.Pos)
			out = append(out, Record{Offset: at, End: at + int64(r.Size()), Type: r.Type.String(), Sum: r.Sum, Entry: at - int64(r.Offset)})
			continue
		}
		g := gaps[0]
		gaps = gaps[1:]
		out = append(out, Record{Offset: start + int64(g.From), End: start + int64(g.To), Reason: reasonOf(g, b)})
	}
	return out, nil
}
