package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// What follows damage is looked at in pieces of 8 blocks.
const (
	block = 32 << 10
	piece = 8 * block
)

// spoil returns b with bit 0 of the byte at each place flipped.
func spoil(b []byte, at ...int) []byte {
	for _, i := range at {
		b = replace(b, i, []byte{b[i] ^ 1})
	}
	return b
}

// An update that was made durable after a damaged one shows that this was durable,
// too, wherever it stands. Without such a one, the damage is what a crash left.
func TestWhatStandsBehindDamageDecides(t *testing.T) {
	const dir = "/after"
	const toBlock = block - headerLen - entryLen - 20 - entryLen
	const toPiece = piece - headerLen - 8*15 - 29 - 8 // from the header on, in 8 records, with tag, time and sum
	first := func(log []byte) []byte { return spoil(log, headerLen+20) }
	both := func(log []byte) []byte { return spoil(log, headerLen+20, piece+20) }
	zeros := func(log []byte) []byte { return replace(log, headerLen, make([]byte, piece-headerLen)) }
	for _, tt := range []struct {
		name  string
		sizes []int
		harm  func(log []byte) []byte
		want  string
		torn  int64 // if there is nothing else wrong
	}{
		{
			"many",
			[]int{20, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000, killed},
			first,
			fmt.Sprintf("the commit of update 2 at offset %d shows", headerLen+entryLen+20), 0,
		},
		{
			"one at the begin of the next piece",
			[]int{toPiece, 20, killed},
			first,
			fmt.Sprintf("the commit of update 2 at offset %d shows", piece), 0,
		},
		{"a damaged one in the next piece", []int{toPiece, 20, killed}, both, "", piece + entryLen + 20 - headerLen},
		{
			"one after a piece of zeros",
			[]int{toPiece, 20, killed},
			zeros,
			fmt.Sprintf("the commit of update 2 at offset %d shows", piece), 0,
		},
		{
			"one that fills a block of the next piece",
			[]int{toPiece, block - entryLen, killed},
			first,
			fmt.Sprintf("the commit of update 2 at offset %d shows", piece), 0,
		},
		{
			"one up to the end of a block",
			[]int{20, toBlock, killed},
			first,
			fmt.Sprintf("the commit of update 2 at offset %d shows", headerLen+entryLen+20), 0,
		},
	} {
		fl, _ := build(t, "/made", 2, tt.sizes...)
		fl[log0] = tt.harm(fl[log0])
		unmount := storefs.Mount(dir, fl.mem(t, dir))
		s, err := store.Open(dir, &plainMachine{}, quiet(nil))
		unmount()
		switch {
		case tt.want != "":
			if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case s.Recovery().TornBytes != tt.torn:
			t.Errorf("%s: %v, want %d torn bytes", tt.name, s.Recovery(), tt.torn)
		}
		if err == nil {
			s.Close()
		}
	}
}

// A log is in use as soon as anything but zeros is after its header, however far.
func TestALogIsInUseFromItsFirstByteOn(t *testing.T) {
	const dir = "/first"
	fl, _ := build(t, "/made", 2, 20, 30, reopen, killed)
	const log2 = "00000000000000000002.log"
	fl[log0] = fl[log0][:len(fl[log0])-sealLen]
	for _, at := range []int{headerLen, piece - 1, piece, piece + headerLen, 2*piece + headerLen} {
		used := make([]byte, at+1)
		copy(used, fl[log2][:headerLen])
		used[at] = 1
		unmount := storefs.Mount(dir, files{log0: fl[log0], log2: used}.mem(t, dir))
		_, err := store.Open(dir, &plainMachine{}, quiet(nil))
		unmount()
		wantIs(t, err, store.ErrCorrupt)
		if err != nil && !strings.Contains(err.Error(), log2+" follows this log") {
			t.Errorf("with a byte at %d: %v", at, err)
		}
	}
}
