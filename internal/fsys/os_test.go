package fsys

import "testing"

func TestOSConforms(t *testing.T) {
	conformance(t, func(t *testing.T) (FS, string) { return OS{}, t.TempDir() })
}
