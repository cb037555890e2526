//go:build !nopeers

package main

// peers are the engines of others. The tag nopeers leaves them out, with the
// minutes that it takes to compile them: make test does that.
var peers = []engine{
	etcdEngine,
	raftEngine,
	tidwallEngine,
	pebbleEngine,
	bboltEngine,
	sqliteEngine,
}
