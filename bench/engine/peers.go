//go:build !nopeers

package engine

// peers are the engines of others.
var peers = []Engine{
	etcd,
	raftWAL,
	tidwall,
	pebbleEngine,
	badgerEngine,
	bboltEngine,
	sqliteEngine,
	buntEngine,
	redisEngine,
}
