//go:build !unix && !windows

package osfile

const canSyncDir = false

func noDirSync(error) bool { return false }

func syncAll(string) error { return nil }

func retry(op func() error) error { return op() }
