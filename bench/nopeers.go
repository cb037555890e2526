//go:build nopeers

package main

var peers []engine

var mapPeers []mapEngine
