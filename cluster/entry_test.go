package cluster

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stateio/stateio/store"
)

// encodeGroup makes a group as an outbox does.
func encodeGroup(session, low uint64, updates ...encodedUpdate) []byte {
	b := make([]byte, groupHeaderSize)
	for _, u := range updates {
		b = appendUpdate(b, u)
	}
	putGroupHeader(b, session, low, len(updates))
	return b
}

func TestAnEntryIsDecodedToWhatItWasEncodedFrom(t *testing.T) {
	nonce := [nonceSize]byte{1, 2, 3}
	b := appendEntryHeader(nil, 12345)
	b = appendSession(b, nonce)
	b = append(b, encodeGroup(7, 20, encodedUpdate{seq: 20, data: []byte("a")}, encodedUpdate{seq: 22, key: hashKey("k"), data: nil})...)
	at, groups, err := parseEntry(b)
	if err != nil || at != 12345 {
		t.Fatal(at, err)
	}
	if err := checkGroups(groups); err != nil {
		t.Fatal(err)
	}
	g, groups, err := nextGroup(groups)
	if err != nil || g.nonce == nil || *g.nonce != nonce {
		t.Fatal(g, err)
	}
	g, groups, err = nextGroup(groups)
	if err != nil || g.session != 7 || g.low != 20 || g.count != 2 || len(groups) != 0 {
		t.Fatal(g, groups, err)
	}
	u, rest, err := nextUpdate(g.updates)
	if err != nil || u.seq != 20 || u.key != nil || string(u.data) != "a" {
		t.Fatal(u, err)
	}
	u, rest, err = nextUpdate(rest)
	if err != nil || u.seq != 22 || *u.key != *hashKey("k") || len(u.data) != 0 || len(rest) != 0 {
		t.Fatal(u, err)
	}
}

func TestAnEntryOfALaterVersionSaysSo(t *testing.T) {
	b := appendEntryHeader(nil, 1)
	b[0] = entryVersion + 1
	if _, _, err := parseEntry(b); !errors.Is(err, store.ErrVersion) || errors.Is(err, errMalformed) {
		t.Errorf("the error is %v", err)
	}
}

// FuzzGroups feeds a node what another one might send.
func FuzzGroups(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendSession(nil, [nonceSize]byte{9}))
	f.Add(encodeGroup(1, 1, encodedUpdate{seq: 1, data: []byte("add x")}))
	f.Add(encodeGroup(1, 5, encodedUpdate{seq: 70, key: hashKey("k"), data: bytes.Repeat([]byte("x"), 300)}))
	f.Fuzz(func(t *testing.T, groups []byte) {
		if checkGroups(groups) != nil {
			return
		}
		// What was checked can be applied, on a node that has nothing before it.
		s := newFSM(newLedger(), newOutbox(1, func() *leader { return nil }, nil))
		s.begin([nonceSize]byte{})
		if err := s.applyEntry(append(appendEntryHeader(nil, 1), groups...)); err != nil {
			t.Fatal(err)
		}
	})
}
