package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Versions is a [Codec] that writes a version before each update, and so can read what
// earlier releases of a program have logged when the type of updates has changed. See
// docs/EVOLVING.md. Its fields must not be changed while it is in use.
type Versions[U any] struct {
	// Current is the version that is written, from 1 on. Raise it whenever the encoding of
	// U changes in a way that the decoder of before does not understand.
	Current int
	// Codec encodes and decodes the current version; nil stands for [JSON].
	Codec Codec[U]
	// Old decodes updates of earlier versions, by version, into what they are today: see
	// [Upcast]. Version 0 are those that were logged without a version, by another codec;
	// that is told from the first byte, which must not have been 0 then, as in JSON.
	Old map[int]func(data []byte) (U, error)
}

// ErrUpdateVersion reports an update of a version that a [Versions] does not know.
var ErrUpdateVersion = errors.New("store: unknown version of an update")

// versionMark begins an update with a version.
const versionMark = 0

// Append implements [Codec].
func (v Versions[U]) Append(dst []byte, update U) ([]byte, error) {
	if v.Current < 1 {
		return nil, fmt.Errorf("store: Versions.Current is %d: it must be 1 or more", v.Current)
	}
	dst = binary.AppendUvarint(append(dst, versionMark), uint64(v.Current))
	return v.codec().Append(dst, update)
}

// Decode implements [Codec]. The error is ErrUpdateVersion for a version that is neither
// the current one nor in Old, or one of their decoders.
func (v Versions[U]) Decode(data []byte) (update U, err error) {
	version, data := cutVersion(data)
	if version != 0 && version == uint64(max(v.Current, 0)) {
		return v.codec().Decode(data)
	}
	if version <= uint64(max(v.Current, 0)) {
		if old := v.Old[int(version)]; old != nil {
			update, err = old(data)
			if err != nil {
				err = fmt.Errorf("store: an update of version %d: %w", version, err)
			}
			return update, err
		}
	}
	return update, v.unknown(version)
}

func (v Versions[U]) codec() Codec[U] {
	if v.Codec == nil {
		return JSON[U]{}
	}
	return v.Codec
}

// cutVersion returns the version of an update, 0 if it has none, and what follows.
func cutVersion(data []byte) (version uint64, rest []byte) {
	if len(data) == 0 || data[0] != versionMark {
		return 0, data
	}
	version, n := binary.Uvarint(data[1:])
	if n <= 0 || version == 0 {
		return 0, data
	}
	return version, data[1+n:]
}

// unknown says what to do about an update of that version.
func (v Versions[U]) unknown(version uint64) error {
	var msg string
	switch {
	case version > uint64(max(v.Current, 0)):
		msg = fmt.Sprintf("an update of version %d, and this program knows versions up to %d: run the release that has made it, or a later one", version, v.Current)
	case version == 0:
		msg = "an update without a version: give Versions.Old a decoder for version 0"
	default:
		msg = fmt.Sprintf("an update of version %d, for which Versions.Old has no decoder: give it one, or run a release that has it and make a snapshot", version)
	}
	return &opError{is: ErrUpdateVersion, msg: msg}
}

// Upcast returns a decoder of updates of an earlier type, for [Versions]: codec decodes
// one, nil standing for [JSON], and up makes of it what it is today. up must be
// deterministic, like Apply.
func Upcast[Old, U any](codec Codec[Old], up func(Old) (U, error)) func(data []byte) (U, error) {
	if codec == nil {
		codec = JSON[Old]{}
	}
	return func(data []byte) (update U, err error) {
		old, err := codec.Decode(data)
		if err != nil {
			return update, err
		}
		return up(old)
	}
}
