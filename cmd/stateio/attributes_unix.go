//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// keepAttributes gives file the owner, the group, the mode and the extended
// attributes of the one at path, which it is to replace, and returns what it could
// not give. Where the group is another, it gets no rights.
func keepAttributes(file *os.File, path string) (lost []string) {
	info, err := os.Lstat(path)
	if err != nil {
		return []string{"owner and mode: " + err.Error()}
	}
	mode := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := file.Chown(int(st.Uid), int(st.Gid)); err != nil {
			lost = append(lost, fmt.Sprintf("owner %d", st.Uid))
			if err := file.Chown(-1, int(st.Gid)); err != nil {
				lost = append(lost, fmt.Sprintf("group %d", st.Gid))
				mode &^= 0o070
			}
		}
	}
	lost = append(lost, copyExtended(file, path)...)
	if err := file.Chmod(mode); err != nil {
		lost = append(lost, fmt.Sprintf("mode %#o", mode))
	}
	return lost
}
