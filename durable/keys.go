package durable

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"unsafe"
)

// A class says how keys are encoded. It is part of each update and snapshot, so a
// map can't be opened with keys of another one.
type class byte

const (
	stringKeys class = iota // length as a uvarint, bytes
	intKeys                 // varint
	uintKeys                // uvarint
	floatKeys               // 8 bytes, little endian
)

func (c class) String() string {
	return [...]string{"strings", "signed integers", "unsigned integers", "floating-point numbers"}[c&3]
}

// keyCodec encodes keys of type K. The type of a key is only known by its kind, since
// K may be a defined type: a key is read as the basic type with the same layout.
type keyCodec[K cmp.Ordered] struct {
	class class
	size  uintptr // of K in bytes
}

func newKeyCodec[K cmp.Ordered]() keyCodec[K] {
	t := reflect.TypeFor[K]()
	c := keyCodec[K]{size: t.Size()}
	switch t.Kind() {
	case reflect.String:
		c.class = stringKeys
	case reflect.Float32, reflect.Float64:
		c.class = floatKeys
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		c.class = intKeys
	default:
		c.class = uintKeys
	}
	return c
}

var errNaN = errors.New("durable: NaN can't be a key: it is neither less than, equal to nor greater than others")

// nan reports whether k is not a number. Such a key must not come near the tree.
func (c keyCodec[K]) nan(k K) bool {
	same := k
	return c.class == floatKeys && k != same
}

// append appends the encoding of k to dst.
func (c keyCodec[K]) append(dst []byte, k K) []byte {
	p := unsafe.Pointer(&k)
	switch c.class {
	case stringKeys:
		s := *(*string)(p)
		return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	case intKeys:
		return binary.AppendVarint(dst, c.int(p))
	case uintKeys:
		return binary.AppendUvarint(dst, c.uint(p))
	default:
		f := c.float(p)
		if f == 0 {
			f = 0 // -0 is the same key
		}
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
	}
}

// bytes returns about how many bytes of memory k takes. The nodes of a cluster forget by
// that what was changed, so it is the same whatever processor and type of integer they have.
func (c keyCodec[K]) bytes(k K) int {
	if c.class == stringKeys {
		return 16 + len(*(*string)(unsafe.Pointer(&k)))
	}
	return 8
}

func (c keyCodec[K]) int(p unsafe.Pointer) int64 {
	switch c.size {
	case 1:
		return int64(*(*int8)(p))
	case 2:
		return int64(*(*int16)(p))
	case 4:
		return int64(*(*int32)(p))
	default:
		return *(*int64)(p)
	}
}

func (c keyCodec[K]) uint(p unsafe.Pointer) uint64 {
	switch c.size {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	default:
		return *(*uint64)(p)
	}
}

func (c keyCodec[K]) float(p unsafe.Pointer) float64 {
	if c.size == 4 {
		return float64(*(*float32)(p))
	}
	return *(*float64)(p)
}

var errShortKey = errors.New("it ends within a key")

// parse returns the key at the start of b, which does not keep b, and what follows.
func (c keyCodec[K]) parse(b []byte) (k K, rest []byte, err error) {
	p := unsafe.Pointer(&k)
	switch c.class {
	case stringKeys:
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return k, nil, errShortKey
		}
		*(*string)(p) = string(b[w : w+int(n)])
		return k, b[w+int(n):], nil
	case intKeys:
		n, w := binary.Varint(b)
		if w <= 0 {
			return k, nil, errShortKey
		}
		return k, b[w:], c.setInt(p, n)
	case uintKeys:
		n, w := binary.Uvarint(b)
		if w <= 0 {
			return k, nil, errShortKey
		}
		return k, b[w:], c.setUint(p, n)
	default:
		if len(b) < 8 {
			return k, nil, errShortKey
		}
		return k, b[8:], c.setFloat(p, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
}

func (c keyCodec[K]) setInt(p unsafe.Pointer, n int64) error {
	switch c.size {
	case 1:
		*(*int8)(p) = int8(n)
	case 2:
		*(*int16)(p) = int16(n)
	case 4:
		*(*int32)(p) = int32(n)
	default:
		*(*int64)(p) = n
	}
	return c.fits(c.int(p) == n, n)
}

func (c keyCodec[K]) setUint(p unsafe.Pointer, n uint64) error {
	switch c.size {
	case 1:
		*(*uint8)(p) = uint8(n)
	case 2:
		*(*uint16)(p) = uint16(n)
	case 4:
		*(*uint32)(p) = uint32(n)
	default:
		*(*uint64)(p) = n
	}
	return c.fits(c.uint(p) == n, n)
}

func (c keyCodec[K]) setFloat(p unsafe.Pointer, f float64) error {
	if c.size == 4 {
		*(*float32)(p) = float32(f)
	} else {
		*(*float64)(p) = f
	}
	return c.fits(c.float(p) == f, f) // NaN never fits
}

// fits returns an error if a key of the map is not one of K.
func (c keyCodec[K]) fits(ok bool, key any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("durable: the key %v does not fit %v: open the map with the type of keys that it was made with", key, reflect.TypeFor[K]())
}

// shown returns a key as an error has it: a string is quoted, and the beginning of a long one
// will do.
func shown[K cmp.Ordered](key K) string {
	if v := reflect.ValueOf(key); v.Kind() == reflect.String {
		return fmt.Sprintf("%.100q", v.String())
	}
	return fmt.Sprint(key)
}

// text returns the bytes of a key that is a string.
func (c keyCodec[K]) text(k K) []byte { return []byte(*(*string)(unsafe.Pointer(&k))) }

// setText sets k, which is a string.
func (c keyCodec[K]) setText(k *K, text []byte) { *(*string)(unsafe.Pointer(k)) = string(text) }

// inf reports whether k is infinite, with that sign.
func (c keyCodec[K]) inf(k K, sign int) bool {
	return c.class == floatKeys && math.IsInf(c.float(unsafe.Pointer(&k)), sign)
}

// setInf makes k, which is a floating-point number, infinite.
func (c keyCodec[K]) setInf(k *K, sign int) error {
	return c.setFloat(unsafe.Pointer(k), math.Inf(sign))
}
