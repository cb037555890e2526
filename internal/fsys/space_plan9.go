package fsys

import "strings"

// isNoSpace goes by the texts that the file servers of Plan 9 answer.
func isNoSpace(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "file system full") || strings.Contains(text, "no space left on device")
}

// isFileLimit: no file server is known to say so in a text of its own.
func isFileLimit(error) bool { return false }
