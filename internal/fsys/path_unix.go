//go:build unix && !linux

package fsys

// A pathID tells which file a path leads to.
type pathID string

func newPathID(path string) pathID { return pathID(path) }

// look returns the identity of the file that the path leads to.
func (p pathID) look() (FileID, error) { return idAt(string(p)) }
