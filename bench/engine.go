package main

// An engine is one way to make updates durable.
type engine struct {
	name string
	what string // what a write is, in the engine's own terms

	// concurrent engines have a group commit of their own. The others are logs
	// for one writer, whose users batch above them: they are measured with one
	// goroutine only.
	concurrent bool

	// whole: one write stands for one update of every goroutine, made durable
	// by one sync. It is the bound.
	whole bool

	// open makes an empty log or database in dir, for that many goroutines.
	open func(dir string, goroutines int) (writer, error)
}

// A writer makes updates durable one by one: Write returns when it is. Several
// goroutines call Write at once.
type writer interface {
	Write(update []byte) error
	Close() error
}

// engines returns what is compared. The first is what the others are compared
// with.
func engines() []engine {
	return append([]engine{storeEngine, boundEngine}, peers...)
}

// updateSize is the size of an update, in bytes.
const updateSize = 128
