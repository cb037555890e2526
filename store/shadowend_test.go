package store

import (
	"io"
	"testing"
)

// A shadow machine that is made while the store is closed is closed as well.
func TestAShadowThatIsMadeDuringCloseIsClosed(t *testing.T) {
	s := &Store{admission: admission{m: &closedShadow{}}, lifetime: lifetime{ctx: t.Context()}}
	m := &closedShadow{}
	h := &shadow{fresh: func() Machine { return m }}
	if err := h.renew(s); err != nil || m.closed != 0 {
		t.Fatalf("closed %d times, %v", m.closed, err)
	}
	h.stop(s)
	h.stop(s)
	if m.closed != 1 {
		t.Errorf("a machine that is given up was closed %d times", m.closed)
	}
	h.end(s)
	late := &closedShadow{}
	h.fresh = func() Machine { return late }
	if err := h.renew(s); err == nil || late.closed != 1 || m.closed != 1 {
		t.Errorf("a machine that came late was closed %d times, %v", late.closed, err)
	}
}

type closedShadow struct {
	closed int
}

func (*closedShadow) Apply([]byte) (any, error)      { return nil, nil }
func (*closedShadow) Snapshot() (io.WriterTo, error) { return nil, nil }
func (*closedShadow) Restore(io.Reader) error        { return nil }
func (c *closedShadow) Close() error                 { c.closed++; return nil }
