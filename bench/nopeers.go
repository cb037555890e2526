//go:build nopeers

package main

var mapPeers []mapEngine
