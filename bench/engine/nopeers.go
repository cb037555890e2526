//go:build nopeers

package engine

var peers []Engine
