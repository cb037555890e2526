//go:build !windows

package wine

func runs() bool { return false }
