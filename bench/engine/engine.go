// Package engine has what package bench compares: package store, the engines of
// others, and a bound, each as a way to make updates durable.
//
// The tag nopeers leaves out the engines of others, with the minutes that it takes to
// compile them.
package engine

import (
	"bytes"
	"fmt"
	"time"
)

// An Engine is one way to make updates durable.
type Engine struct {
	Name   string
	What   string // what a write is, in the engine's own terms
	Module string // the module whose version counts, or empty
	Kind   Kind

	// Open opens what is in dir, and makes an empty log or database when there is
	// nothing.
	Open func(dir string, o Options) (DB, error)

	// Logs are patterns, relative to the directory, of the files to which a write brings
	// an update before it returns.
	Logs []string

	// LastWrite, if there is one, says up to where in such a file the last of the writes
	// is that a commit makes one after the other. Without one a commit is one write, or
	// writes from lower to higher places.
	LastWrite int64

	// Note says what one must know to judge what it does with damage, or is empty.
	Note string

	// Version tells that of a program that is not part of this one, or is nil.
	Version func() string

	// Missing tells why the engine can't run here, or is nil or returns "" if it can.
	Missing func() string
}

// A Kind says what an engine does with the updates of several goroutines.
type Kind int

const (
	// Grouped engines make the updates of many goroutines durable with one sync.
	Grouped Kind = iota
	// Serial engines take updates of many goroutines, and sync for each.
	Serial
	// OneWriter engines are logs whose users form batches above them.
	OneWriter
)

// String says it in a few words.
func (k Kind) String() string {
	return [...]string{"one sync for many updates", "one sync for each update", "a log for one writer"}[k]
}

// Options are what a user of an engine decides.
type Options struct {
	Goroutines int // how many call Write at once; 0 is one
	Size       int // of an update: only the bound asks

	// Replay, if not nil, gets the updates of an engine that reads them all to open. An
	// update is valid until Replay returns. Others are Readers.
	Replay func(update []byte) error

	// KeepLog keeps an engine that makes snapshots by itself from doing so.
	KeepLog bool
}

// A DB is open. An update is at least [KeySize] bytes, and no two begin with the same
// [KeySize]: engines that have keys take these for one.
type DB interface {
	// Write returns when the update is durable. Several goroutines call it at once. The
	// update is the caller's again afterwards.
	Write(update []byte) error
	Close() error
}

// A Batcher writes many updates at a time, as fast as the engine has it.
type Batcher interface {
	// WriteAll has one caller. The updates are durable when the last of the calls
	// returned and the engine was closed. They are the caller's again afterwards.
	WriteAll(updates [][]byte) error
}

// A Reader hands out what it has.
type Reader interface {
	// Read calls each with every update, which is valid until each returns. It ends at
	// an error of each, and returns it.
	Read(each func(update []byte) error) error
}

// A Server works in another process.
type Server interface {
	// Pid is the process.
	Pid() int
}

// KeySize is how many bytes of an update say which one it is.
const KeySize = 8

// All returns what is compared. The first is what the others are compared with.
func All() []Engine {
	return append([]Engine{Store, Bound}, peers...)
}

// Present returns those that can run here.
func Present(all []Engine) []Engine {
	var here []Engine
	for _, e := range all {
		if e.Missing == nil || e.Missing() == "" {
			here = append(here, e)
		}
	}
	return here
}

// OpenAndRead opens what is in dir and calls each with every update there. It returns how
// long it took until the engine took updates, and until the last one was read.
func (e Engine) OpenAndRead(dir string, o Options, each func(update []byte) error) (opened, read time.Duration, err error) {
	o.Replay = each
	start := time.Now()
	db, err := e.Open(dir, o)
	if err != nil {
		return 0, 0, err
	}
	opened = time.Since(start)
	if r, ok := db.(Reader); ok {
		if err := r.Read(each); err != nil {
			_ = db.Close() // the first error tells more
			return opened, 0, fmt.Errorf("reading what is there: %w", err)
		}
	}
	read = time.Since(start)
	return opened, read, db.Close()
}

// held returns the update that a database holds for a key: if it does not belong to the
// key, then something that nobody wrote.
func held(key, update []byte) []byte {
	if bytes.HasPrefix(update, key) {
		return update
	}
	return key
}
