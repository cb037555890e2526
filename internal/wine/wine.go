// Package wine is for tests that need more of Windows than Wine has.
package wine

// Runs reports whether this program of Windows runs in Wine.
func Runs() bool { return runs() }
