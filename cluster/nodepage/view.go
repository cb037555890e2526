package nodepage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

// A view is what the page shows. Durations are in seconds, sizes in bytes.
type view struct {
	At      int64  `json:"at"`    // when the node was asked, in ms since 1970
	Level   string `json:"level"` // of the verdict: ok, warn or bad
	Verdict string `json:"verdict"`
	Todo    string `json:"todo"` // what to do about it, or empty

	ID      string  `json:"id"`
	Cluster string  `json:"cluster"`
	Leader  string  `json:"leader"`
	Term    uint64  `json:"term"`
	Gap     float64 `json:"gap"`

	Index   uint64 `json:"index"`
	Lag     uint64 `json:"lag"`
	Updates uint64 `json:"updates"`
	Refused uint64 `json:"refused"`
	Waiting int    `json:"waiting"`
	Pending int    `json:"pending"`

	SnapshotBytes int64   `json:"snapshot_bytes"`
	SnapshotTook  float64 `json:"snapshot_took"`
	SinceSnapshot int64   `json:"since_snapshot"`

	Members []member `json:"members"`
}

type member struct {
	ID    string  `json:"id"`
	Addr  string  `json:"addr"`
	State string  `json:"state"` // leads, follows, "does not vote", "does not answer" or "its disk does not answer"
	Level string  `json:"level"`
	Lag   *uint64 `json:"lag"` // nil: nobody knows
	Error string  `json:"error"`
}

// read asks a node, and through it the members. One that is closed knows nothing of the cluster: it
// asks nobody any more.
func read(n Source) *view {
	status := n.Status()
	stats := n.Stats() // last: if the node is closed meanwhile, this tells
	if errors.Is(stats.Err, store.ErrClosed) {
		status.Leader, status.Members = "", nil
	}
	return newView(stats, status)
}

func newView(stats cluster.Stats, status cluster.Status) *view {
	v := &view{
		ID: status.ID, Cluster: status.Cluster, Leader: status.Leader, Term: status.Term, Gap: status.FailoverGap.Seconds(),
		Index: stats.Index, Lag: stats.Lag, Updates: stats.Updates, Refused: stats.UpdateErrors,
		Waiting: stats.Waiting, Pending: stats.Pending,
		SnapshotBytes: stats.SnapshotBytes, SnapshotTook: stats.SnapshotTook.Seconds(), SinceSnapshot: stats.SinceSnapshot,
	}
	for _, m := range status.Members {
		v.Members = append(v.Members, newMember(m))
	}
	v.Level, v.Verdict, v.Todo = verdict(stats, status)
	return v
}

func newMember(m cluster.MemberStatus) member {
	out := member{ID: m.ID, Addr: m.Addr, State: "follows", Level: "ok"}
	switch {
	case !m.Up:
		out.State, out.Level = "does not answer", "bad"
	case m.Stalled:
		out.State, out.Level = "its disk does not answer", "bad"
	case m.Leader:
		out.State = "leads"
	case !m.Voter:
		out.State, out.Level = "does not vote", "warn"
	}
	if m.Up {
		out.Lag = &m.Lag
	}
	if m.Err != nil {
		out.Error = m.Err.Error()
	}
	return out
}

// verdict says in a sentence how the node and its cluster are, and in another what to do.
func verdict(stats cluster.Stats, status cluster.Status) (level, says, todo string) {
	if stats.Err != nil {
		return "bad", ofNode(stats.Err), adviceFor(stats.Err)
	}
	voters, ill := voters(status)
	well := voters - len(ill)
	majority := voters/2 + 1
	switch {
	case status.Leader == "" && voters > 0 && well < majority:
		return "bad", fmt.Sprintf("No updates are taken: %s, and %d of %d voters are needed.", are(ill), majority, voters),
			"Start the others, or look at their disks, and the network between them. If they are gone for good, see “A lost majority” in docs/CLUSTER.md."
	case status.Leader == "":
		return "bad", "No leader is known, so no updates are taken at the moment.",
			"It takes about a second to elect one. If this stays, look at the network between the members, and at the log of this node."
	case voters == 0:
		return "warn", fmt.Sprintf("This node hears of %s as the leader, and knows of no members yet.", status.Leader),
			"It is being sent the state. If this stays, look at the log of this node."
	case well < majority:
		return "warn", fmt.Sprintf("This node hears of %s as the leader, but %s.", status.Leader, are(ill)),
			"Look at the network between the members, and at those that are down."
	case len(ill) > 0 && well == majority:
		return "warn", fmt.Sprintf("Updates are taken, but %s: if one more fails, they end.", are(ill)),
			"Start it, or look at its disk, or replace it: see “Replacing a node” in docs/CLUSTER.md."
	case len(ill) > 0:
		return "warn", fmt.Sprintf("Updates are taken, but %s.", are(ill)),
			"Start it, or look at its disk, or replace it: see “Replacing a node” in docs/CLUSTER.md."
	case stats.SnapshotError != nil:
		return "warn", "The last snapshot could not be made: " + stats.SnapshotError.Error(),
			"Until one can, the log grows, and to open this node takes longer."
	}
	return "ok", fmt.Sprintf("Updates are taken: %s leads, %s.", name(status.Leader, status.ID), spare(voters, voters-majority)), ""
}

// voters returns how many members vote, and those that can't, as far as this node sees.
func voters(s cluster.Status) (all int, ill []cluster.MemberStatus) {
	for _, m := range s.Members {
		if !m.Voter {
			continue
		}
		all++
		if !m.Up || m.Stalled {
			ill = append(ill, m)
		}
	}
	return all, ill
}

// ofNode says why this node takes no updates.
func ofNode(err error) string {
	switch {
	case errors.Is(err, store.ErrClosed):
		return "This node is closed."
	case errors.Is(err, cluster.ErrRemoved):
		return "This node is no member of the cluster any more."
	}
	return "This node takes no updates: " + err.Error()
}

func adviceFor(err error) string {
	switch {
	case errors.Is(err, store.ErrClosed):
		return ""
	case errors.Is(err, cluster.ErrRemoved):
		return "Close it. To have it back, call Rejoin for its directory."
	case errors.Is(err, store.ErrCorrupt):
		return "Close it, call Rejoin for its directory, and open it again: the others rebuild it."
	}
	return "See “Errors” in docs/CLUSTER.md."
}

// are says what is wrong with members, as a part of a sentence.
func are(ill []cluster.MemberStatus) string {
	var down, stalled []string
	for _, m := range ill {
		if m.Up {
			stalled = append(stalled, m.ID)
		} else {
			down = append(down, m.ID)
		}
	}
	var parts []string
	if len(down) > 0 {
		parts = append(parts, list(down)+plural(len(down), " does not answer", " do not answer"))
	}
	if len(stalled) > 0 {
		parts = append(parts, plural(len(stalled), "the disk of ", "the disks of ")+list(stalled)+plural(len(stalled), " does not", " do not"))
	}
	return strings.Join(parts, ", and ")
}

func list(ids []string) string {
	if len(ids) == 1 {
		return ids[0]
	}
	return strings.Join(ids[:len(ids)-1], ", ") + " and " + ids[len(ids)-1]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func name(leader, self string) string {
	if leader == self {
		return "this node"
	}
	return leader
}

// spare says how many of the voters may fail.
func spare(voters, may int) string {
	switch {
	case voters <= 1:
		return "and is the only voter: nothing is on another machine"
	case may == 0:
		return "all voters answer, and none may fail"
	case may == 1:
		return fmt.Sprintf("all %d voters answer, and one may fail", voters)
	}
	return fmt.Sprintf("all %d voters answer, and %d may fail", voters, may)
}
