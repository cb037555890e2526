// Package durable keeps maps and values on the disk without a line about machines,
// logs or codecs. It is for programs that would otherwise write JSON files.
//
//	users, err := durable.OpenMap[string, User]("data/users", nil)
//	err = users.Put(ctx, "ann", User{Age: 31})     // nil: on the disk
//	ann, ok := users.Get("ann")                    // from memory
//	for name, u := range users.Range("a", "m") { } // in order
//
//	cfg, err := durable.OpenValue("data/config", Config{Port: 80}, nil)
//	err = cfg.Update(ctx, func(c *Config) error { c.Port = 8080; return nil })
//
// All of a [Map] or [Value] is in memory, and reads never touch the disk. Changes go
// through package store: they are in a log, fsynced, before the caller is told, many
// at a time if many callers make some, and snapshots keep the log short. What the
// documentation of package store promises holds here too. So do its errors:
// [store.ErrClosed], [store.ErrFailed], [store.ErrNoSpace], [store.ErrUnknown] and
// the others are found by errors.Is.
//
// A directory holds one map or one value, and its updates and snapshots say which: opened
// as the other one, it is refused, with an error that says what to open it with.
//
// # What is seen, and when
//
// A change can be seen by readers as soon as it is applied, which is a moment before
// it is on the disk and its caller is told. A crash in that moment may take it away.
// Sync waits until all that can be seen is on the disk.
//
// [Map.Txn] makes several changes one: all of them are found after a crash, or none.
// Transactions are serializable, and so are their reads.
//
// # On several computers
//
// [OpenMapOn] and [OpenValueOn] open a map or value on whatever keeps a machine, such as a
// node of package cluster, which keeps it on several computers. The rest of the program
// stays as it is. Changes and transactions are made on any node, and hold on all; what they
// promise, and what reading means where nodes may be ahead of each other, is said there.
//
// # Who owns values
//
// Values go in and out by copy, so nothing that a program does to one changes the map:
// Put encodes its argument, and the map keeps what decodes from that. What Get, Range
// and the others return is the caller's. How it is copied depends on the type:
//
//   - A type without references (numbers, strings, time.Time, structs and arrays of
//     such) is copied by assignment.
//   - One of slices, maps and pointers in exported fields is copied in depth. That is
//     compiled once, when the map is opened.
//   - Any other, such as one that holds an interface, an unexported slice, or itself,
//     is encoded and decoded each time, which takes microseconds. Set the field Clone
//     of the options to do better.
//
// # Codecs
//
// Values are encoded by [store.JSON], which is strict: what encoding/json would lose in
// silence when it decodes is an error, and a type with fields that it would leave out, since they
// are not exported, is refused when the map is opened. A field tagged json:"-" is left out, as
// it says: after Put, Get has the zero value there. Any [store.Codec] will do instead. [String] and
// [Bytes] are for values that are encoded already. Keys are strings or numbers, and
// have an encoding of their own.
package durable
