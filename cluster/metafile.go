package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

// Raft-wal keeps the term, the vote and the list of its files in a database of bbolt's,
// which maps the file into memory and believes it: one that is cut short ends the process
// by SIGBUS, and other damage by a panic. So this node reads the file first.

// checkMeta makes sure that the database of the log in dir, if there is one, is whole as
// far as bbolt's own structure tells. What is not is types.ErrCorrupt. The error is
// store.ErrLocked if another node has it open.
func checkMeta(dir string) error {
	path := filepath.Join(dir, metadb.FileName)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lockMeta(f); err != nil {
		return err
	}
	defer unlockFile(f) // see heldLock
	b, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := checkBolt(b, metadb.MetaBucket, metadb.StableBucket); err != nil {
		return fmt.Errorf("%w: %s is damaged: %w", types.ErrCorrupt, path, err)
	}
	return nil
}

// noPanic calls open. A panic in it, also one for memory that can't be read, is
// types.ErrCorrupt.
func noPanic[T any](path string, open func() (T, error)) (t T, err error) {
	was := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(was)
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: opening %s: panic: %v", types.ErrCorrupt, path, r)
		}
	}()
	return open()
}

// The format of bbolt's files, in the byte order of the machine:
//
//	page    = id uint64 | flags uint16 | count uint16 | overflow uint32 | what the flags say
//	meta    = magic uint32 | version uint32 | page size uint32 | flags uint32
//	        | root uint64 | sequence uint64 | freelist uint64 | pages uint64 | txid uint64
//	        | FNV-64a of that uint64
//	leaf    = (flags uint32 | pos uint32 | key size uint32 | value size uint32) ... | data
//	branch  = (pos uint32 | key size uint32 | page uint64) ... | data
//	free    = page uint64 ...
//
// A page and those that overflow from it follow one another. A position counts from where
// its element begins. The value of a leaf with flag 1 is a bucket: root uint64 | sequence
// uint64, and, if the root is 0, a page.
const (
	boltMagic, boltVersion                = 0xED0CDAED, 2
	boltBranch, boltLeaf, boltMeta        = 1, 2, 4
	boltFree                              = 16
	boltPageHead, boltElement             = 16, 16
	boltMetaSize                          = 64
	boltBucketHead                        = 16
	boltNoFreelist                 uint64 = 1<<64 - 1
)

// A boltFile is a file of bbolt's, in memory.
type boltFile struct {
	b     []byte
	page  uint64          // size of a page
	pages uint64          // that are in use, or free
	used  map[uint64]bool // those that were seen
}

var native = binary.NativeEndian

// checkBolt returns an error unless b is a file of bbolt's, both of its heads are whole, and
// all that can be reached from the later one is where it can be read, with those buckets at
// its root. A head is written within one sector, so a crash damages none.
func checkBolt(b []byte, buckets ...string) error {
	first, size, err := boltHead(b, 0)
	if err != nil {
		return err
	}
	last, other, err := boltHead(b, size)
	if err != nil {
		return err
	}
	if size != other {
		return errors.New("its heads differ in the size of a page")
	}
	if native.Uint64(first[48:]) > native.Uint64(last[48:]) {
		last = first
	}
	f := &boltFile{b, size, native.Uint64(last[40:]), map[uint64]bool{}}
	if f.pages > uint64(len(b))/size {
		return fmt.Errorf("it has %d bytes, and should have %d pages of %d", len(b), f.pages, size)
	}
	found := map[string]bool{}
	err = f.walk(native.Uint64(last[16:]), func(key []byte, bucket bool) { found[string(key)] = bucket })
	if err != nil {
		return err
	}
	for _, name := range buckets {
		if !found[name] {
			return fmt.Errorf("it has no bucket %s", name)
		}
	}
	return f.checkFree(native.Uint64(last[32:]))
}

// boltHead returns the meta in the page at an offset, and the size of a page.
func boltHead(b []byte, at uint64) (head []byte, page uint64, err error) {
	if uint64(len(b)) < at+boltPageHead+boltMetaSize {
		return nil, 0, fmt.Errorf("it ends after %d bytes, within its heads", len(b))
	}
	head = b[at+boltPageHead:][:boltMetaSize]
	sum := fnv.New64a()
	_, _ = sum.Write(head[:boltMetaSize-8]) // never fails
	page = uint64(native.Uint32(head[8:]))
	switch {
	case native.Uint32(head) != boltMagic || native.Uint32(head[4:]) != boltVersion,
		native.Uint16(b[at+8:])&boltMeta == 0,
		sum.Sum64() != native.Uint64(head[boltMetaSize-8:]):
		return nil, 0, fmt.Errorf("its head at offset %d is not whole", at)
	case page < 512 || page > 1<<20:
		return nil, 0, fmt.Errorf("its pages have %d bytes", page)
	}
	return head, page, nil
}

// take returns a page with those that overflow from it. None is taken twice.
func (f *boltFile) take(id uint64) (data []byte, flags, count uint16, err error) {
	if id < 2 || id >= f.pages {
		return nil, 0, 0, fmt.Errorf("it speaks of page %d, and has %d", id, f.pages)
	}
	data = f.b[id*f.page:]
	overflow := uint64(native.Uint32(data[12:]))
	if native.Uint64(data) != id || overflow >= f.pages-id {
		return nil, 0, 0, fmt.Errorf("page %d has a wrong beginning", id)
	}
	for p := id; p <= id+overflow; p++ {
		if f.used[p] {
			return nil, 0, 0, fmt.Errorf("page %d is used twice", p)
		}
		f.used[p] = true
	}
	return data[:(overflow+1)*f.page], native.Uint16(data[8:]), native.Uint16(data[10:]), nil
}

// walk checks the tree with the given root, and calls leaf for each key in it.
func (f *boltFile) walk(root uint64, leaf func(key []byte, bucket bool)) error {
	var last []byte // key of the leaves so far
	return f.walkPage(root, nil, &last, leaf)
}

// walkPage is walk, from a page whose keys are not below least.
func (f *boltFile) walkPage(id uint64, least []byte, last *[]byte, leaf func(key []byte, bucket bool)) error {
	data, flags, count, err := f.take(id)
	if err != nil {
		return err
	}
	switch flags {
	case boltLeaf:
		err = f.walkLeaf(data, count, least, last, leaf)
	case boltBranch:
		err = f.walkBranch(data, count, least, last, leaf)
	default:
		err = fmt.Errorf("its flags are %#x", flags)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

var (
	errBoltBounds = errors.New("an element lies outside of it")
	errBoltOrder  = errors.New("its keys are not in order")
)

// element returns where the key of an element is, which has a number and a position.
func element(data []byte, i int, pos, size uint32) ([]byte, error) {
	from := uint64(boltPageHead+i*boltElement) + uint64(pos)
	if from+uint64(size) > uint64(len(data)) {
		return nil, errBoltBounds
	}
	return data[from : from+uint64(size)], nil
}

func (f *boltFile) walkBranch(data []byte, count uint16, least []byte, last *[]byte, leaf func([]byte, bool)) error {
	if count == 0 || boltPageHead+int(count)*boltElement > len(data) {
		return errBoltBounds
	}
	for i := range int(count) {
		e := data[boltPageHead+i*boltElement:]
		key, err := element(data, i, native.Uint32(e), native.Uint32(e[4:]))
		if err != nil {
			return err
		}
		if bytes.Compare(key, least) < 0 || i > 0 && bytes.Compare(key, *last) <= 0 {
			return errBoltOrder
		}
		if err := f.walkPage(native.Uint64(e[8:]), key, last, leaf); err != nil {
			return err
		}
	}
	return nil
}

func (f *boltFile) walkLeaf(data []byte, count uint16, least []byte, last *[]byte, leaf func([]byte, bool)) error {
	if boltPageHead+int(count)*boltElement > len(data) {
		return errBoltBounds
	}
	for i := range int(count) {
		e := data[boltPageHead+i*boltElement:]
		size := native.Uint32(e[8:])
		both, err := element(data, i, native.Uint32(e[4:]), size)
		if err != nil {
			return err
		}
		value, err := element(data, i, native.Uint32(e[4:])+size, native.Uint32(e[12:]))
		if err != nil {
			return err
		}
		if bytes.Compare(both, least) < 0 || *last != nil && bytes.Compare(both, *last) <= 0 {
			return errBoltOrder
		}
		*last = both
		bucket := native.Uint32(e)&1 != 0
		if bucket {
			if err := f.walkBucket(value); err != nil {
				return fmt.Errorf("bucket %q: %w", both, err)
			}
		}
		leaf(both, bucket)
	}
	return nil
}

// walkBucket checks a bucket within another one.
func (f *boltFile) walkBucket(value []byte) error {
	if len(value) < boltBucketHead {
		return errBoltBounds
	}
	none := func([]byte, bool) {}
	if root := native.Uint64(value); root != 0 {
		return f.walk(root, none)
	}
	data := value[boltBucketHead:]
	if len(data) < boltPageHead || native.Uint16(data[8:]) != boltLeaf {
		return errBoltBounds
	}
	var last []byte
	return f.walkLeaf(data, native.Uint16(data[10:]), nil, &last, none)
}

// checkFree checks the list of pages that are free: one that is in use would be written over.
func (f *boltFile) checkFree(id uint64) error {
	if id == boltNoFreelist {
		return nil
	}
	data, flags, count, err := f.take(id)
	if err != nil {
		return err
	}
	n, list := uint64(count), data[boltPageHead:]
	if count == 1<<16-1 { // then the first says how many there are
		n, list = native.Uint64(list), list[8:]
	}
	if flags != boltFree || n > uint64(len(list))/8 {
		return fmt.Errorf("page %d is not the list of free pages", id)
	}
	for i := range n {
		free := native.Uint64(list[8*i:])
		if free < 2 || free >= f.pages || f.used[free] {
			return fmt.Errorf("page %d is free, and is not there or in use", free)
		}
		f.used[free] = true
	}
	return nil
}
