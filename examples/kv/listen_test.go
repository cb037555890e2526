package main

import (
	"net"
	"testing"
)

// The default port may be taken, by another kv or anything else.
func TestTheDefaultPortMayBeTaken(t *testing.T) {
	if l, err := net.Listen("tcp", defaultAddress); err == nil { // else something has it already
		defer l.Close()
	}
	l, err := listenAt(defaultAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Addr().String() == defaultAddress {
		t.Errorf("listening at %v, which is taken", l.Addr())
	}
	if again, err := listenAt(l.Addr().String()); err == nil {
		again.Close()
		t.Error("an address that was asked for and is taken is no error")
	}
}
