package fsys

import "testing"

func TestFaultyConforms(t *testing.T) {
	conformance(t, func(t *testing.T) (FS, string) { return NewFaulty(OS{}), t.TempDir() })
	conformance(t, func(t *testing.T) (FS, string) {
		m := NewMem(MemOptions{})
		mkdir(t, m, "/store")
		return NewFaulty(m), "/store"
	})
}
