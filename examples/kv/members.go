package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

// What an operator does about a node that its cluster can't use any more is in this file.

// errEnded says that a signal has come before the data was open. Nothing is wrong then.
var errEnded = errors.New("ended while it opened the data, which begins anew with the next start")

// exitCode is 3 if to start again is of no use, until somebody has done what the error says; node: it is
// one. A node has failed if its directory is gone, and would begin with nothing in another one; a store
// then says that at the next start.
func exitCode(err error, node bool) int {
	switch {
	case err == nil, errors.Is(err, errEnded):
		return 0
	case node && errors.Is(err, store.ErrFailed):
		return 3
	}
	for _, lasting := range []error{
		store.ErrCorrupt, store.ErrVersion, store.ErrUpdateVersion,
		cluster.ErrRemoved, cluster.ErrIdentity, cluster.ErrOtherCluster, cluster.ErrUnfinished,
	} {
		if errors.Is(err, lasting) {
			return 3
		}
	}
	var refused *store.ReplayError
	if errors.As(err, &refused) {
		return 3
	}
	return 1
}

// hint says how what an error demands is done with this program; node: it is one.
func hint(err error, node bool) string {
	switch {
	case errors.Is(err, errEnded):
		return ""
	case !node && errors.Is(err, store.ErrCorrupt):
		return "stateio verify DIR says what is damaged, and what can be had; docs/OPERATING.md says what to do then"
	case !node:
		return ""
	case errors.Is(err, cluster.ErrUnfinished):
		return "start it again with -from, which calls Import again; or remove the directory"
	case errors.Is(err, cluster.ErrRemoved), errors.Is(err, cluster.ErrIdentity), errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrFailed):
		return "Rejoin is: kv -rejoin, with the same flags, and -join with the addresses of members; then start it without -rejoin. " +
			"Remove is: curl -X DELETE http://ADDR/members/ID, at another node. Options.ID, Join and Advertise are -id, -join and -advertise"
	case errors.Is(err, cluster.ErrOtherCluster):
		return "Options.Join is -join"
	case errors.Is(err, cluster.ErrNoQuorum):
		return "Recover is: kv -from, with the directory of a node that is left, its -id, and a new -dir"
	}
	return ""
}

// rejoinTime is how long the other members are looked for.
const rejoinTime = time.Minute

// rejoin has the others remove this node, and sets its data aside.
func rejoin(ctx context.Context, c *config) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rejoinTime)
	defer cancel()
	aside, err := cluster.Rejoin(ctx, c.dir, o)
	if err != nil {
		return err
	}
	if aside != "" {
		fmt.Printf("kv: what was there is in %s\n", aside)
	}
	fmt.Printf("kv: start it without -rejoin, and the other members send it the data\n")
	return nil
}

// removeMember removes a node that is gone for good, or is to go.
func (s *server) removeMember(w http.ResponseWriter, r *http.Request) {
	n := s.keys.node
	if n == nil {
		http.Error(w, "this is no node of a cluster", http.StatusNotFound)
		return
	}
	err := n.Remove(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, cluster.ErrMember):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		s.fail(w, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
