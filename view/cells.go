package view

import (
	"errors"
	"net/http"

	"github.com/stateio/stateio/inspect"
)

// maxCells is how many cells a request may ask for.
const maxCells = 4096

// cells is a picture of a range of a file.
type cells struct {
	File string `json:"file"`
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Size int64  `json:"size"` // of a cell, in bytes
	// Kinds has the content of each cell: that of most of its bytes, but damage, a torn
	// tail and a header always show. 0: not read yet.
	Kinds []int `json:"kinds"`
	// Indexes has the index of the first update that begins in a cell or after it.
	Indexes []uint64 `json:"indexes"`
}

// cells answers with the picture of bytes from to to of a file, in n cells. Where those are
// not read yet, it may not come to all of them.
func (h *handler) cells(r *http.Request) (any, error) {
	m, indexes, i, err := h.source.file(r.URL.Query().Get("file"))
	if err != nil {
		return nil, err
	}
	total := m.Files[i].Size
	from, err1 := number(r, "from", 0, 0, total)
	to, err2 := number(r, "to", total, 0, total)
	n, err3 := number(r, "n", 512, 1, maxCells)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, err
		}
	}
	c := &cells{File: nameOf(m.Files[i]), From: from, To: max(from, to)}
	c.Size = max(1, (c.To-c.From+n-1)/n)
	p := newPainter(c)
	if indexes[i].paint(p) {
		p.finish()
		return c, nil
	}
	unread, late := !indexes[i].read(c.To), lateAfter(workTime)
	mark := indexes[i].markBefore(from)
	at := mark.Offset()
	for part, err := range m.Parts(i, mark) {
		if err = errors.Join(err, r.Context().Err()); err != nil {
			return nil, err
		}
		if at >= c.To || unread && late() {
			break
		}
		if part.Nth == 0 {
			p.paint(part.Content, at, part.End)
			p.update(part.Offset, part.Index)
			at = part.End
		}
	}
	p.finish()
	return c, nil
}

// A painter makes cells out of ranges.
type painter struct {
	*cells
	bytes [][contents]int64
}

func newPainter(c *cells) *painter {
	n := int((c.To - c.From + c.Size - 1) / c.Size)
	c.Kinds, c.Indexes = make([]int, n), make([]uint64, n)
	return &painter{c, make([][contents]int64, n)}
}

// paint paints a range of one content.
func (p *painter) paint(c inspect.Content, from, to int64) {
	from, to = max(from, p.From), min(to, p.To)
	for from < to {
		i := (from - p.From) / p.Size
		end := min(to, p.From+(i+1)*p.Size)
		p.bytes[i][c] += end - from
		from = end
	}
}

// update notes where an update begins.
func (p *painter) update(off int64, index uint64) {
	if off < p.From || off >= p.To || index == 0 {
		return
	}
	if at := &p.Indexes[(off-p.From)/p.Size]; *at == 0 {
		*at = index
	}
}

// finish decides on each cell.
func (p *painter) finish() {
	always := []inspect.Content{inspect.ContentDamage, inspect.ContentTorn, inspect.ContentHeader, inspect.ContentEnd}
	for i, b := range p.bytes {
		most := 0
		for c, n := range b {
			if n > b[most] {
				most = c
			}
		}
		for _, c := range always {
			if b[c] > 0 {
				most = int(c)
				break
			}
		}
		p.Kinds[i] = most
	}
	for i := len(p.Indexes) - 2; i >= 0; i-- {
		if p.Indexes[i] == 0 {
			p.Indexes[i] = p.Indexes[i+1]
		}
	}
}

// paint paints what x knows, and reports whether that is exact enough: else a walk has to.
func (x *index) paint(p *painter) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p.Size < x.size {
		return false
	}
	for i := p.From / x.size; i < int64(len(x.buckets)) && i*x.size < p.To; i++ {
		b, at := x.buckets[i], i*x.size
		for c, n := range b.bytes {
			// Where in the bucket it is, is not known.
			if n > 0 {
				p.spread(inspect.Content(c), at, at+x.size, int64(n))
			}
		}
		if b.marked {
			p.update(b.mark.Offset(), b.index)
		}
	}
	for _, t := range x.tail {
		p.paint(t.content, t.from, t.to)
	}
	return true
}

// spread paints n bytes of a content that lie somewhere in a range.
func (p *painter) spread(c inspect.Content, from, to, n int64) {
	from, to = max(from, p.From), min(to, p.To)
	if from >= to {
		return
	}
	i := (from - p.From) / p.Size
	p.bytes[i][c] += n
}
