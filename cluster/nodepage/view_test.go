package nodepage

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

// members returns voters that are up, the first of which leads, and one for each that is not: a name
// with "-" in front is down, with "!" has a disk that does not answer, with "?" has no vote.
func members(names ...string) (all []cluster.MemberStatus) {
	for i, name := range names {
		m := cluster.MemberStatus{Member: cluster.Member{ID: strings.TrimLeft(name, "-!?"), Addr: "127.0.0.1:1"}, Voter: true, Up: true, Leader: i == 0}
		switch name[0] {
		case '-':
			m.Up, m.Err = false, errors.New("no route")
		case '!':
			m.Stalled = true
		case '?':
			m.Voter = false
		}
		all = append(all, m)
	}
	return all
}

func TestTheVerdict(t *testing.T) {
	failed := errors.New("no space")
	for _, c := range []struct {
		err, snapshot error
		leader        string
		members       string
		level, says   string
		todo          string
	}{
		{nil, nil, "a", "a", "ok", "Updates are taken: this node leads, and is the only voter: nothing is on another machine.", ""},
		{nil, nil, "a", "a ?b", "ok", "this node leads, and is the only voter", ""},
		{nil, nil, "b", "b a", "ok", "Updates are taken: b leads, all voters answer, and none may fail.", ""},
		{nil, nil, "b", "b a c", "ok", "Updates are taken: b leads, all 3 voters answer, and one may fail.", ""},
		{nil, nil, "b", "b a c ?d", "ok", "all 3 voters answer, and one may fail", ""},
		{nil, nil, "b", "b a c d e", "ok", "all 5 voters answer, and 2 may fail", ""},
		{nil, nil, "b", "b a -c", "warn", "Updates are taken, but c does not answer: if one more fails, they end.", "Replacing a node"},
		{nil, nil, "b", "b a !c", "warn", "but the disk of c does not: if one more", "Replacing a node"},
		{nil, nil, "b", "b a d -c !e", "warn", "but c does not answer, and the disk of e does not: if one more", "Replacing a node"},
		{nil, nil, "b", "", "warn", "This node hears of b as the leader, and knows of no members yet.", "being sent the state"},
		{nil, nil, "b", "b a -c -d -e", "warn", "This node hears of b as the leader, but c, d and e do not answer.", "the network"},
		{nil, nil, "b", "b a c d -e", "warn", "Updates are taken, but e does not answer.", "Replacing a node"},
		{nil, nil, "b", "b a c -d -e", "warn", "but d and e do not answer: if one more fails", "Replacing a node"},
		{nil, nil, "", "b -a -c", "bad", "No updates are taken: a and c do not answer, and 2 of 3 voters are needed.", "A lost majority"},
		{nil, nil, "", "b -a -c -d e", "bad", "a, c and d do not answer, and 3 of 5", "A lost majority"},
		{nil, nil, "", "b a -c", "bad", "No leader is known", "a second"},
		{nil, nil, "", "", "bad", "No leader is known", "a second"},
		{nil, failed, "b", "b a c", "warn", "The last snapshot could not be made: no space", "the log grows"},
		{failed, failed, "b", "b a c", "bad", "This node takes no updates: no space", "Errors"},
		{fmt.Errorf("x: %w", store.ErrClosed), nil, "", "", "bad", "This node is closed.", ""},
		{fmt.Errorf("x: %w", cluster.ErrRemoved), nil, "b", "b", "bad", "no member of the cluster any more", "Rejoin"},
		{fmt.Errorf("x: %w", store.ErrCorrupt), nil, "b", "b a", "bad", "takes no updates: x: ", "Rejoin"},
	} {
		status := cluster.Status{ID: "a", Leader: c.leader, Members: members(strings.Fields(c.members)...)}
		level, says, todo := verdict(cluster.Stats{Err: c.err, SnapshotError: c.snapshot}, status)
		if level != c.level || !strings.Contains(says, c.says) || !strings.Contains(todo, c.todo) || c.todo == "" && todo != "" {
			t.Errorf("%q, leader %q, %v, %v:\n%s: %s\n%s\nwant %s: %s\n%s", c.members, c.leader, c.err, c.snapshot, level, says, todo, c.level, c.says, c.todo)
		}
	}
}

func TestTheStateOfMembers(t *testing.T) {
	for i, m := range members("a", "b", "-c", "!d", "?e") {
		m.Lag = 7
		got := newMember(m)
		want := []string{"leads", "follows", "does not answer", "its disk does not answer", "does not vote"}[i]
		if got.State != want || (got.Lag == nil) != !m.Up || (got.Error == "") != (m.Err == nil) {
			t.Errorf("%+v, want %q", got, want)
		}
	}
}
