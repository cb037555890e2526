package cluster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stateio/stateio/store"
)

// What errors.Is finds in the errors of this package, besides those of package
// store: ErrUnknown, ErrClosed, ErrFailed, ErrCorrupt, ErrLocked, ErrVersion and
// ErrNotRetained of store mean what they mean there.
var (
	// ErrNoQuorum reports that no leader could be reached: a majority of the
	// members is down or can't reach each other, or this node can't reach them.
	// It comes with the error of the context that ended meanwhile.
	ErrNoQuorum = errors.New("cluster: no leader can be reached")
	// ErrTooLarge reports an update larger than Options.MaxUpdate. It was not
	// applied. It is store.ErrTooLarge.
	ErrTooLarge = store.ErrTooLarge
	// ErrStalled reports that the disk of this node does not answer. Use another
	// node. This one goes on by itself when its disk does.
	ErrStalled = errors.New("cluster: the disk of this node does not answer")
	// ErrDuplicate reports that the key of UpdateOnce was used before. Those errors
	// are of type [*DuplicateError].
	ErrDuplicate = errors.New("cluster: key used before")
	// ErrTooManyKeys reports that MaxKeys keys of UpdateOnce were used within
	// KeyLife. The update was not applied.
	ErrTooManyKeys = errors.New("cluster: too many keys of UpdateOnce")
	// ErrMember reports a change of members that can't be made as requested.
	ErrMember = errors.New("cluster: can't change the members like this")
	// ErrIdentity reports a node whose directory, token or certificate belongs to
	// another one.
	ErrIdentity = errors.New("cluster: wrong identity")
	// ErrOtherCluster reports a node of another cluster: both have begun, and their data
	// can't be merged. A node that was to join, but was once opened without Join, has
	// begun a cluster of its own.
	ErrOtherCluster = errors.New("cluster: a node of another cluster")
	// ErrRemoved reports that this node is no member any more: it was removed. Close it.
	ErrRemoved = errors.New("cluster: this node was removed")
	// ErrUnfinished reports a directory in which an Import was interrupted. Call Import
	// again, or remove the directory.
	ErrUnfinished = errors.New("cluster: an import was interrupted")
)

// errAbsent says that there is no such member. It is ErrMember.
var errAbsent = fmt.Errorf("%w: there is no member", ErrMember)

// A DuplicateError says that an update was made with the same key before, and has
// not been made again. The result of the first time is not kept.
type DuplicateError struct {
	Index   uint64 // of the update; if it was refused, of the last one before it
	Refused bool   // Apply had refused it
}

// Error implements error.
func (e *DuplicateError) Error() string {
	if e.Refused {
		return fmt.Sprintf("cluster: Apply refused the update with this key after update %d, and it was not applied again", e.Index)
	}
	return fmt.Sprintf("cluster: the update with this key was applied as update %d, and not again", e.Index)
}

// Is reports whether target is [ErrDuplicate].
func (e *DuplicateError) Is(target error) bool { return target == ErrDuplicate }

// An opError says what was being done, of which kinds it is, and why it failed.
type opError struct {
	msg  string
	errs []error // what errors.Is finds; the last one is the cause
}

func (e *opError) Error() string {
	return "cluster: " + e.msg + ": " + strings.TrimPrefix(e.errs[len(e.errs)-1].Error(), "cluster: ")
}

func (e *opError) Unwrap() []error { return e.errs }

// unknown says that an update may have been applied or not, or may be yet.
func unknown(cause ...error) error {
	return &opError{
		msg:  "the update was sent, and may or may not be applied (make it again with the same key by UpdateOnce, or look)",
		errs: append([]error{store.ErrUnknown}, cause...),
	}
}

// notMade says that an update was not applied and will not be.
func notMade(cause ...error) error {
	return &opError{msg: notMadeText, errs: cause}
}

const notMadeText = "update not made"

func errClosed(what string) error { return &opError{msg: what, errs: []error{store.ErrClosed}} }
