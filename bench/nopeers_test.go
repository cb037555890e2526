//go:build nopeers

package main

import "testing"

func TestCommandsWithPeers(t *testing.T) {
	t.Skip("not run: the engines of others were left out by the tag nopeers")
}

func TestAllWithPeers(t *testing.T) {
	t.Skip("not run: the engines of others were left out by the tag nopeers")
}
