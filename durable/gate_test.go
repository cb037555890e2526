package durable

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
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

// A change that waits for a transaction waits for the next one as well, if that has closed its
// gate meanwhile.
func TestAChangeWaitsAtEachGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := OpenMap[string, int](t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		first := m.closeGate()
		made := make(chan error, 1)
		go func() { made <- m.Put(context.Background(), "a", 1) }()
		synctest.Wait()
		second := m.closeGate()
		first()
		synctest.Wait()
		if m.Has("a") {
			t.Error("a change is made while the gate is closed")
		}
		second()
		if err := <-made; err != nil {
			t.Error(err)
		}
	})
}
