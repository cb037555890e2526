package durable

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
)

// A frame is a part of a snapshot, decoded.
type frame[K cmp.Ordered, V any] struct {
	done   chan struct{} // closed when the others are set
	keys   []K
	values []cell[V]
	err    error
	threw  *codecPanic // or nil
}

// errGoexit says that a codec has ended the goroutine that called it.
var errGoexit = errors.New("durable: the snapshot can't be read: the codec, or Clone of the options, ended the goroutine that had called it with runtime.Goexit")

// A codecPanic is a panic of a codec, or of Clone, in a goroutine of this package. It goes
// on in the goroutine that Restore was called in, where the program can recover from it.
type codecPanic struct {
	value any
	stack []byte
}

// Error returns what the codec panicked with, and where. It is an error so that a program
// that recovers from it, and the runtime, print that.
func (p *codecPanic) Error() string {
	return fmt.Sprintf("durable: panic while a value was decoded: %v\n\n%s", p.value, p.stack)
}

// Unwrap returns what the codec panicked with, if that is an error.
func (p *codecPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// decode decodes b.
func (f *frame[K, V]) decode(m *machine[K, V], b []byte) {
	defer close(f.done)
	returned := false
	defer func() {
		if returned {
			return
		}
		f.keys, f.values, f.err = nil, nil, errGoexit
		if v := recover(); v != nil {
			f.threw = &codecPanic{v, debug.Stack()}
		}
	}()
	f.parse(m, b)
	returned = true
}

// parse is decode, in whose goroutine it runs code of the user.
func (f *frame[K, V]) parse(m *machine[K, V], b []byte) {
	for len(b) > 0 && f.err == nil {
		var o op[K]
		var err error
		if o.key, b, err = m.keys.parse(b); err == nil {
			o.value, b, err = parseValue(b)
		}
		if err != nil {
			f.err = fmt.Errorf("durable: the snapshot can't be read: %w", err)
			return
		}
		var c change[K, V]
		c, f.err = m.decode(o)
		f.keys = append(f.keys, c.key)
		f.values = append(f.values, cell[V]{c.value})
	}
}
