package view

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/stateio/stateio/inspect"
)

// maxPayload is how many bytes of a payload one request gives.
const maxPayload = 256 << 10

// payload answers with bytes of the payload of the part at a file's offset: n of them, from
// skip on.
func (h *handler) payload(r *http.Request) (any, error) {
	w, err := h.from(r)
	skip, err1 := number(r, "skip", 0, 0, 1<<62)
	n, err2 := number(r, "n", 64<<10, 1, maxPayload)
	if err = errors.Join(err, err1, err2); err != nil {
		return nil, err
	}
	if w.start.File == "" {
		return nil, badRequest{errors.New("view: a payload is asked for by file and offset")}
	}
	var out struct {
		row
		Skip int64  `json:"skip"`
		Data []byte `json:"data"`
	}
	found := false
	var readErr error
	_, err = w.run(func(f inspect.MapFile, p inspect.Part) bool {
		if p.Offset != w.start.Offset || p.Nth != w.start.Nth {
			return false
		}
		found = true
		out.row, out.Skip = rowOf(f, p), skip
		payload := wanted{r.Context(), p.Payload()}
		if _, readErr = io.CopyN(io.Discard, payload, skip); readErr == nil {
			out.Data, readErr = io.ReadAll(io.LimitReader(payload, n))
		}
		if errors.Is(readErr, io.EOF) {
			readErr = nil // there are fewer bytes than are to be skipped
		}
		return false
	})
	if err = errors.Join(err, readErr); err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("view: nothing begins at offset %d of %s any more: %w", w.start.Offset, w.start.File, fs.ErrNotExist)
	}
	return out, nil
}

// A recordRow is a record, or a stretch without one.
type recordRow struct {
	Offset int64  `json:"offset"`
	End    int64  `json:"end"`
	Type   string `json:"type"`
	Reason string `json:"reason,omitempty"`
}

// A blockAnswer is a block as it is on the disk.
type blockAnswer struct {
	File    string      `json:"file"`
	Offset  int64       `json:"offset"`
	Records []recordRow `json:"records"`
	Data    []byte      `json:"data"`
}

// block answers with the records and the bytes of the block in which an offset lies.
func (h *handler) block(r *http.Request) (any, error) {
	name := r.URL.Query().Get("file")
	m, _, i, err := h.source.file(name)
	if err != nil {
		return nil, err
	}
	off, err := number(r, "offset", 0, 0, 1<<62)
	if err != nil {
		return nil, err
	}
	b := blockAnswer{File: name, Offset: off - off%inspect.BlockSize}
	records, err := m.Records(i, off)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		b.Records = append(b.Records, recordRow{r.Offset, r.End, r.Type, r.Reason})
	}
	data := make([]byte, inspect.BlockSize)
	n, err := m.ReadAt(i, data, b.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	b.Data = data[:n]
	return b, nil
}
