//go:build !nopeers

package main

import "testing"

func TestCommandsWithPeers(t *testing.T) {
	testCommands(t, []commandTest{
		{"commit -rounds 1 -time 10ms -goroutines 2", []string{"store", "bound", "pebble", "bbolt", "sqlite"}},
		{"commit -rounds 1 -time 10ms -goroutines 1 -only pebble", []string{"store", "pebble"}},
		{"commit -rounds 1 -time 10ms -goroutines 1", []string{"store", "bound", "etcd wal", "raft-wal", "tidwall/wal", "pebble", "bbolt", "sqlite"}},
	})
}
