package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Raft lets its members be changed whoever is up. Who has a vote counts from the moment that
// a change is in the log of the leader: if those that are up are no majority then, not even
// the change is committed until others are up, nor anything else. So it is refused, and there
// is no way to insist, which would have no use.

// mayRemove returns an error if the voters that are up are no majority without a member.
func (n *Node) mayRemove(ctx context.Context, conf raft.Configuration, id string) error {
	voters := votersOf(conf)
	after := slices.DeleteFunc(slices.Clone(voters), func(s raft.Server) bool { return string(s.ID) == id })
	if len(after) == len(voters) || len(after) == 0 {
		return nil // without a vote, or the last one, which is refused later
	}
	return n.majorityUp(ctx, after, "without it", "start those first, or remove them first")
}

// addVoter gives a member a vote, or a voter another address, unless the voters that are up
// are no majority afterwards. The members are those of entry index.
func (n *Node) addVoter(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, index uint64) error {
	if err := n.changing.enter(ctx); err != nil {
		return err
	}
	defer n.changing.leave()
	voters, err := n.voters()
	if err != nil {
		return err
	}
	after := slices.DeleteFunc(slices.Clone(voters), func(s raft.Server) bool { return s.ID == id })
	after = append(after, raft.Server{ID: id, Address: addr, Suffrage: raft.Voter})
	if err := n.majorityUp(ctx, after, "with "+string(id)+" at "+string(addr), "start those first, or remove them first"); err != nil {
		return err
	}
	return n.await(ctx, func() error { return n.raft.AddVoter(id, addr, index, 0).Error() }) // raft waits for a change that is not committed
}

// majorityUp asks voters how they are, and returns an error that is ErrMember unless a
// majority of them answers.
func (n *Node) majorityUp(ctx context.Context, voters []raft.Server, when, todo string) error {
	ctx, cancel := context.WithTimeout(ctx, max(leaderPatience*n.opts.Heartbeat, 2*time.Second))
	defer cancel()
	answers := make(chan MemberStatus, len(voters))
	for _, v := range voters {
		go func() { answers <- n.memberStatus(ctx, v, "") }()
	}
	up, need := 0, len(voters)/2+1
	var down []string
	for range voters {
		m := <-answers
		switch {
		case !m.Up:
			down = append(down, fmt.Sprintf("%s at %s does not answer", m.ID, m.Addr))
		case m.Stalled:
			down = append(down, fmt.Sprintf("the disk of %s at %s does not answer, or its log can't be written", m.ID, m.Addr))
		default:
			up++
		}
		if up == need {
			return nil
		}
	}
	slices.Sort(down)
	return fmt.Errorf("%w: %s, %d of %d members with a vote would be up, and a majority is %d (%s): %s", ErrMember, when, up, len(voters), need, strings.Join(down, "; "), todo)
}
