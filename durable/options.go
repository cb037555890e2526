package durable

import (
	"cmp"
	"fmt"

	"github.com/stateio/stateio/store"
)

// MapOptions change how a [Map] works. The zero value of each field stands for its
// default. OpenMap copies the struct.
type MapOptions[K cmp.Ordered, V any] struct {
	// Codec encodes values; the default is store.JSON[V]{}, for a V that is exported to the
	// last field, or has methods such as MarshalJSON. It is called from many
	// goroutines at once. A directory must always be opened with a codec that
	// decodes what is in it.
	Codec store.Codec[V]

	// Clone returns a copy of a value that shares nothing with it that can be
	// changed. The default is described in the package documentation. A Clone that
	// returns its argument makes reading cheaper and is right only if nobody ever
	// changes what a value points to.
	Clone func(V) V

	// Store is how the log and the snapshots are kept.
	Store store.Options
}

// ValueOptions change how a [Value] works. The zero value of each field stands for
// its default. OpenValue copies the struct.
type ValueOptions[T any] struct {
	// Codec encodes the value; the default is store.JSON[T]{}, as that of [MapOptions].
	Codec store.Codec[T]

	// Clone is that of [MapOptions].
	Clone func(T) T

	// Store is how the log and the snapshots are kept.
	Store store.Options
}

func (o *MapOptions[K, V]) orDefaults() MapOptions[K, V] {
	var c MapOptions[K, V]
	if o != nil {
		c = *o
	}
	if c.Codec == nil {
		c.Codec = store.JSON[V]{}
	}
	return c
}

// checkType returns why a codec would lose something of what it is to encode.
func checkType(codec any, what string) error {
	if c, ok := codec.(store.TypeChecker); ok {
		if err := c.CheckType(); err != nil {
			return fmt.Errorf("durable: %s: %w", what, err)
		}
	}
	return nil
}

func (o *ValueOptions[T]) orDefaults() ValueOptions[T] {
	var c ValueOptions[T]
	if o != nil {
		c = *o
	}
	if c.Codec == nil {
		c.Codec = store.JSON[T]{}
	}
	return c
}
