package view

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/stateio/stateio/inspect"
)

// maxHits is how many hits one request gives.
const maxHits = 50

// search answers with the updates and states from a place on whose payload contains q: a
// text in any case, or bytes as 0x and hexadecimal digits.
func (h *handler) search(r *http.Request) (any, error) {
	w, err := h.from(r)
	if err != nil {
		return nil, err
	}
	want, fold, err := pattern(r.URL.Query().Get("q"))
	if err != nil {
		return nil, err
	}
	out := &rows{Rows: []row{}}
	f := finder{want: want, fold: fold, buf: make([]byte, 64<<10)}
	var readErr error
	out.Next, err = w.run(func(file inspect.MapFile, p inspect.Part) bool {
		if len(out.Rows) == maxHits || readErr != nil {
			return false
		}
		if p.Content != inspect.ContentUpdate && p.Content != inspect.ContentState {
			return true
		}
		out.Read += p.Size
		found, err := f.in(wanted{r.Context(), p.Payload()})
		if readErr = err; found {
			out.Rows = append(out.Rows, rowOf(file, p))
		}
		return true
	})
	return out, errors.Join(err, readErr)
}

// A wanted reader reads for as long as a request is not given up: a payload may be large.
type wanted struct {
	ctx context.Context
	r   io.Reader
}

func (w wanted) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}

// pattern returns what to look for, and whether in any case.
func pattern(q string) (want []byte, fold bool, err error) {
	if len(q) > 1024 {
		return nil, false, badRequest{errors.New("view: what is looked for is longer than 1024 bytes")}
	}
	if digits, ok := strings.CutPrefix(q, "0x"); ok {
		if want, err = hex.DecodeString(strings.ReplaceAll(digits, " ", "")); err == nil && len(want) > 0 {
			return want, false, nil
		}
	}
	if q == "" {
		return nil, false, badRequest{errors.New("view: there is nothing to look for: give a text, or bytes like 0x00ff")}
	}
	return lower([]byte(q)), true, nil
}

// lower makes ASCII letters of b small, in place: other bytes keep their places.
func lower(b []byte) []byte {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// A finder looks for bytes in payloads.
type finder struct {
	want []byte // not empty, and shorter than buf
	fold bool
	buf  []byte
}

// in reports whether r has what is wanted.
func (f *finder) in(r io.Reader) (bool, error) {
	for kept := 0; ; {
		n, err := io.ReadFull(r, f.buf[kept:])
		b := f.buf[:kept+n]
		if f.fold {
			lower(b[kept:])
		}
		if bytes.Contains(b, f.want) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(f.buf, b[max(0, len(b)-len(f.want)+1):])
	}
}
