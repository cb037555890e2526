package durable

import (
	"context"
	"errors"
	"testing"
)

// A transaction that was applied, and waits for the disk, may have closed its gate before the
// next one closes its own: that stays closed when the first one opens.
func TestTheGateOfTheNextTransactionStaysClosed(t *testing.T) {
	m, err := OpenMap[string, int](t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	first := m.closeGate()
	second := m.closeGate()
	first()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Put(ended, "a", 1); !errors.Is(err, context.Canceled) || m.Has("a") {
		t.Errorf("a change while the gate is closed: %v", err)
	}
	if m.gate.Load() == nil {
		t.Error("the gate is open")
	}
	second()
	if err := m.Put(t.Context(), "a", 1); err != nil {
		t.Error(err)
	}
}
