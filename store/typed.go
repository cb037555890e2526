package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"time"

	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/internal/strictjson"
)

// A TypedMachine is a [Machine] whose updates are values of type U and whose
// results are of type R. What is said of Machine holds for it. Apply owns its
// update: it was decoded for this call.
type TypedMachine[U, R any] interface {
	Apply(update U) (result R, err error)
	Snapshot() (io.WriterTo, error)
	Restore(snapshot io.Reader) error
}

// A TypedTimedMachine is a [TypedMachine] with the time and index of its updates: what
// is said of [TimedMachine] holds for it. Embed [NoTypedApply] where Apply is not needed.
type TypedTimedMachine[U, R any] interface {
	TypedMachine[U, R]
	ApplyAt(at time.Time, index uint64, update U) (result R, err error)
}

// NoTypedApply is embedded by a [TypedTimedMachine] that has no use for Apply.
type NoTypedApply[U, R any] struct{}

// Apply returns an error.
func (NoTypedApply[U, R]) Apply(U) (result R, err error) { return result, errNoApply }

// A Codec turns updates into bytes and back. Both functions may be called from
// several goroutines at once. What one of them can't keep it must refuse: an
// error of either keeps an update from being applied, and stops [Open] when it
// is replayed. The function RoundTrip of package statetest tests a codec.
type Codec[U any] interface {
	// Append appends the encoding of update to dst and returns the longer slice.
	Append(dst []byte, update U) ([]byte, error)
	// Decode is its inverse. It must not keep data.
	Decode(data []byte) (U, error)
}

// Typed is a [Store] with typed updates and results. All methods of Store are
// there; its own Update, Submit, Change, SubmitChange and Updates take the place of those
// with bytes.
type Typed[U, R any] struct {
	*Store
	codec Codec[U]
}

// OpenTyped opens a store as [Open] does, with a typed machine. A nil codec
// stands for [JSON], which refuses a U with fields that it would leave out.
func OpenTyped[U, R any](dir string, m TypedMachine[U, R], codec Codec[U], opts *Options) (*Typed[U, R], error) {
	if codec == nil {
		codec = JSON[U]{}
	}
	s, err := Open(dir, Untyped(m, codec), opts)
	if err != nil {
		return nil, err
	}
	return &Typed[U, R]{s, codec}, nil
}

// Update makes an update as [Store.Update] does.
func (t *Typed[U, R]) Update(ctx context.Context, update U) (result R, err error) {
	b, err := t.codec.Append(nil, update)
	if err != nil {
		return result, fmt.Errorf("store: encoding an update: %w", storefile.Bare(err))
	}
	r, err := t.Store.Update(ctx, b)
	if err != nil {
		return result, err
	}
	result, _ = r.(R) // not so only for a nil R of an interface type
	return result, nil
}

// Submit makes an update as [Store.Submit] does.
func (t *Typed[U, R]) Submit(update U) (*TypedTicket[R], error) {
	b, err := t.codec.Append(nil, update)
	if err != nil {
		return nil, fmt.Errorf("store: encoding an update: %w", storefile.Bare(err))
	}
	ticket, err := t.Store.Submit(b)
	if err != nil {
		return nil, err
	}
	return &TypedTicket[R]{ticket}, nil
}

// A TypedTicket is a [Ticket] with a result of type R.
type TypedTicket[R any] struct{ *Ticket }

// Result returns what Apply returned.
func (t *TypedTicket[R]) Result() R {
	result, _ := t.Ticket.Result().(R) // not so only for a nil R of an interface type
	return result
}

// Change is [Store.Change] with typed updates.
func (t *Typed[U, R]) Change(ctx context.Context, change func(tx *TypedTx[U]) error) (index uint64, err error) {
	return t.Store.Change(ctx, typedChange(t.codec, change))
}

// SubmitChange is [Store.SubmitChange] with typed updates.
func (t *Typed[U, R]) SubmitChange(change func(tx *TypedTx[U]) error) (*Ticket, error) {
	return t.Store.SubmitChange(typedChange(t.codec, change))
}

func typedChange[U any](codec Codec[U], change func(tx *TypedTx[U]) error) func(*Tx) error {
	if change == nil {
		return nil
	}
	return func(tx *Tx) error { return change(&TypedTx[U]{tx, codec}) }
}

// A TypedTx is a [Tx] for updates of type U.
type TypedTx[U any] struct {
	*Tx
	codec Codec[U]
}

// Append adds an update, as [Tx.Append] does. An error of the codec, which also decodes
// what it has encoded, says that it is not added.
func (tx *TypedTx[U]) Append(update U) error {
	b, err := tx.codec.Append(nil, update)
	if err != nil {
		return fmt.Errorf("store: encoding an update: %w", storefile.Bare(err))
	}
	if _, err := tx.codec.Decode(b); err != nil { // what Open would say, when nothing is lost yet
		return fmt.Errorf("store: decoding an update: %w", storefile.Bare(err))
	}
	return tx.Tx.Append(b)
}

// A TypedUpdate is an [Update] of type U.
type TypedUpdate[U any] struct {
	Index uint64
	Time  time.Time
	Value U
	State []byte // of an [Update] that is a whole state: its Data; Value is the zero value
	More  bool   // as that of an [Update]
}

// Updates is [Store.Updates] with typed updates. One that can't be decoded ends the
// sequence with the error of the codec.
func (t *Typed[U, R]) Updates(ctx context.Context, from uint64) iter.Seq2[TypedUpdate[U], error] {
	return func(yield func(TypedUpdate[U], error) bool) {
		for u, err := range t.Store.Updates(ctx, from) {
			typed := TypedUpdate[U]{Index: u.Index, Time: u.Time, More: u.More}
			switch {
			case err != nil:
			case u.State:
				typed.State = u.Data
			default:
				if typed.Value, err = t.codec.Decode(u.Data); err != nil {
					err = fmt.Errorf("store: decoding update %d: %w", u.Index, storefile.Bare(err))
				}
			}
			if !yield(typed, err) || err != nil {
				return
			}
		}
	}
}

// Untyped returns the [Machine] that m is, for what takes one: RestoreAt, and
// package statetest. A nil codec stands for [JSON].
func Untyped[U, R any](m TypedMachine[U, R], codec Codec[U]) Machine {
	if m == nil {
		return nil
	}
	if codec == nil {
		codec = JSON[U]{}
	}
	u := untyped[U, R]{m, codec}
	if timed, ok := m.(TypedTimedMachine[U, R]); ok {
		return untypedTimed[U, R]{u, timed}
	}
	return u
}

type untyped[U, R any] struct {
	TypedMachine[U, R]
	codec Codec[U]
}

// typed returns the machine that m stands for.
func (m untyped[U, R]) typed() any { return m.TypedMachine }

// CheckType implements TypeChecker.
func (m untyped[U, R]) CheckType() error {
	if err := checkType(m.codec); err != nil {
		return fmt.Errorf("store: the updates: %w", storefile.Bare(err))
	}
	return checkType(m.TypedMachine)
}

// CheckUpdate implements UpdateChecker.
func (m untyped[U, R]) CheckUpdate(update []byte) error {
	if _, err := m.codec.Decode(update); err != nil {
		return fmt.Errorf("store: decoding an update: %w", storefile.Bare(err))
	}
	return nil
}

// Apply implements Machine. The machine sees what was decoded when it is made
// first, too, so that a codec which loses something loses it at once.
func (m untyped[U, R]) Apply(update []byte) (any, error) {
	return m.decoded(update, m.TypedMachine.Apply)
}

// decoded calls apply with the decoded update.
func (m untyped[U, R]) decoded(update []byte, apply func(U) (R, error)) (any, error) {
	u, err := m.codec.Decode(update)
	if err != nil {
		return nil, fmt.Errorf("store: decoding an update: %w", storefile.Bare(err))
	}
	r, err := apply(u)
	if err != nil {
		return nil, err
	}
	return r, nil
}

type untypedTimed[U, R any] struct {
	untyped[U, R]
	timed TypedTimedMachine[U, R]
}

// ApplyAt implements TimedMachine.
func (m untypedTimed[U, R]) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	return m.decoded(update, func(u U) (R, error) { return m.timed.ApplyAt(at, index, u) })
}

// JSON is the Codec that [OpenTyped] uses by default: package encoding/json,
// which passes over much in silence, made strict. An error stops a loss while
// nothing is lost yet: an update that fails to encode or decode is not applied,
// and [Open] fails when it replays one, before the state is wrong.
//
// Append refuses text that is not valid UTF-8: encoding/json replaces each
// wrong byte by U+FFFD, so that two keys become one. Hold such text in a []byte.
// It also refuses the escape \ufffd in what a MarshalJSON method returns: the
// method may have called json.Marshal in turn. A json.RawMessage may hold it.
//
// Decode refuses
//
//   - a field that U does not have: an earlier version of the program wrote it,
//     and it has another name now or is gone;
//   - a field whose name differs only in case from one that U has;
//   - two members of one object with the same name, such as two keys of a map
//     with the same MarshalText;
//   - an array with more elements than its Go array;
//   - an integer that a float32 or float64 can't hold, such as a large int64
//     that was encoded from a variable of type any;
//   - text that is not valid UTF-8, and halves of surrogate pairs.
//
// Values of a type with an UnmarshalJSON method, and those of type
// json.RawMessage, are left to that type. A field that U has and the update does
// not is zero, so fields can be added; so is one that is null there, and whose type
// has no nil.
//
// CheckType refuses a U that has, or holds values that have, fields which encoding/json would
// leave out: those that are not exported, and those that two embedded structs have under one
// name. A store is not opened with such a U, nor a map or value of package durable. A field
// tagged json:"-" is left out as it says. Not refused are locks, fields named _, and what is in a
// type with a MarshalJSON or MarshalText of its own.
//
// JSON can't know the type of a value in a variable of type any, and what a method leaves out.
// The machine sees each update as it was decoded, the first time as in every replay, so such
// a loss shows at once. The function RoundTrip of package statetest finds it.
type JSON[U any] struct {
	// AllowUnknownFields has Decode pass over fields that U does not have. Set it
	// when a field was removed and what it held no longer matters. A name that
	// differs only in case is still refused.
	AllowUnknownFields bool
	// AllowInvalidUTF8 has Append and Decode replace what is not valid UTF-8 by
	// U+FFFD, as encoding/json does.
	AllowInvalidUTF8 bool
	// AllowUnexportedFields has CheckType accept fields that would be left out. Set it for
	// types that are not yours to change, and of which such fields may be lost: those that
	// protoc has made, or url.URL, whose user info is such a field.
	AllowUnexportedFields bool
}

// CheckType implements [TypeChecker].
func (c JSON[U]) CheckType() error {
	if c.AllowUnexportedFields {
		return nil
	}
	if err := strictjson.LeftOut(reflect.TypeFor[U]()); err != nil {
		return fmt.Errorf("%w; for a type that is not yours, set AllowUnexportedFields of store.JSON", err)
	}
	return nil
}

// Append implements Codec. On an error it returns dst as it was.
func (c JSON[U]) Append(dst []byte, update U) ([]byte, error) {
	b, err := json.Marshal(update)
	if err == nil && !c.AllowInvalidUTF8 {
		err = strictjson.Encoded(b, reflect.ValueOf(&update).Elem())
	}
	if err != nil {
		return dst, err
	}
	if cap(dst) == 0 {
		return b, nil
	}
	return append(dst, b...), nil
}

// Decode implements Codec. On an error it returns the zero value.
func (c JSON[U]) Decode(data []byte) (U, error) {
	var update, zero U
	if err := json.Unmarshal(data, &update); err != nil {
		return zero, err
	}
	rules := strictjson.Rules{AllowUnknownFields: c.AllowUnknownFields, AllowInvalidUTF8: c.AllowInvalidUTF8}
	if err := strictjson.Decoded(data, reflect.TypeFor[U](), rules); err != nil {
		return zero, err
	}
	return update, nil
}

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

// CheckType implements [TypeChecker]: it asks the codec of the current version.
func (v Versions[U]) CheckType() error { return checkType(v.codec()) }

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
	return &storefile.Error{Is: ErrUpdateVersion, Msg: msg}
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
