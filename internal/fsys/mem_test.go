package fsys

import "testing"

func TestMemConforms(t *testing.T) {
	for _, opts := range []MemOptions{{PageSize: 512}, {PageSize: 4096}} {
		conformance(t, func(t *testing.T) (FS, string) {
			m := NewMem(opts)
			mkdir(t, m, "/store")
			return m, "/store"
		})
	}
}
