package shadow_test

import (
	"io"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
	"github.com/stateio/stateio/store/shadow"
)

// An update that a process applies, beside one that is applied here.
func BenchmarkProcess(b *testing.B) {
	update := make([]byte, 128)
	p := shadow.Process(child("good", new(int)))()
	defer p.(io.Closer).Close()
	b.Run("apply", func(b *testing.B) {
		for i := range b.N {
			if _, err := p.(store.TimedMachine).ApplyAt(time.Unix(1, 0), uint64(i), update); err != nil {
				b.Fatal(err)
			}
		}
		if err := p.(store.Settler).Settle(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("bound", func(b *testing.B) {
		m := &words{N: map[string]int{}}
		for range b.N {
			if _, err := m.Apply(update); err != nil {
				b.Fatal(err)
			}
		}
	})
}
