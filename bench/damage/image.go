package damage

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An image is the files of a directory, by their paths relative to it.
type image map[string]*contents

// contents are those of a file. Files of which space is set aside are mostly zeros: those
// are not kept.
type contents struct {
	size   int64
	blocks map[int64][]byte // that are not all zeros, by their place
}

const blockSize = 4096

var zeros [blockSize]byte

// take reads all files below dir.
func take(dir string) (image, error) {
	i := image{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			i[name], err = readContents(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // the engine has removed it meanwhile
			delete(i, name)
			return nil
		}
		return err
	})
	return i, err
}

func readContents(path string) (*contents, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &contents{blocks: map[int64][]byte{}}
	block := make([]byte, blockSize)
	for {
		n, err := io.ReadFull(f, block)
		if n > 0 && !bytes.Equal(block[:n], zeros[:n]) {
			c.blocks[c.size] = bytes.Clone(block[:n])
		}
		c.size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// put makes the files in dir, which is made, too.
func (i image) put(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	for name, c := range i {
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
		}
		if err == nil {
			err = c.put(filepath.Join(dir, name))
		}
	}
	return err
}

func (c *contents) put(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(c.size)
	for at, block := range c.blocks {
		if err == nil {
			_, err = f.WriteAt(block, at)
		}
	}
	return errors.Join(err, f.Close())
}

// at returns byte n: 0 after the end, and of no file.
func (c *contents) at(n int64) byte {
	if c == nil {
		return 0
	}
	if block := c.blocks[n-n%blockSize]; n%blockSize < int64(len(block)) {
		return block[n%blockSize]
	}
	return 0
}

// length returns the size of a file, 0 of none.
func (c *contents) length() int64 {
	if c == nil {
		return 0
	}
	return c.size
}

// with returns c, of another size, with other bytes from start to end.
func (c *contents) with(size, start, end int64, get func(int64) byte) *contents {
	changed := &contents{size: size, blocks: map[int64][]byte{}}
	for at, block := range c.blocks {
		if at < size {
			changed.blocks[at] = block[:min(int64(len(block)), size-at)]
		}
	}
	for at := start - start%blockSize; at < min(end, size); at += blockSize {
		block := make([]byte, min(blockSize, size-at))
		copy(block, changed.blocks[at])
		for n := max(start, at); n < min(end, at+int64(len(block))); n++ {
			block[n-at] = get(n)
		}
		changed.blocks[at] = block
	}
	return changed
}

// flip returns c with one bit turned about.
func (c *contents) flip(at int64, bit uint) *contents {
	return c.with(c.size, at, at+1, func(n int64) byte { return c.at(n) ^ 1<<(bit%8) })
}

// changed returns where the first is and after the last of the bytes, below limit, that
// are not those of before. Both are 0 if all are the same.
func (c *contents) changed(before *contents, limit int64) (start, end int64) {
	start = -1
	limit = min(c.size, limit)
	for block := int64(0); block < limit; block += blockSize {
		if c.blocks[block] == nil && (before == nil || before.blocks[block] == nil) && block+blockSize <= before.length() {
			continue // zeros, as before
		}
		for n := block; n < min(block+blockSize, limit); n++ {
			if c.at(n) != before.at(n) || n >= before.length() {
				if start < 0 {
					start = n
				}
				end = n + 1
			}
		}
	}
	return max(start, 0), end
}

// used returns where the last byte ends that is not zero.
func (c *contents) used() int64 {
	end := int64(0)
	for at, block := range c.blocks {
		end = max(end, at+int64(len(bytes.TrimRight(block, "\x00"))))
	}
	return end
}
