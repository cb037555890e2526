package cluster

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/store"
)

// A post is an outbox whose leader is the test.
type post struct {
	*outbox
	t     *testing.T
	table *table // of the log
	sent  chan *parcel
}

func newPost(t *testing.T) *post {
	p := &post{t: t, table: newTable(), sent: make(chan *parcel, 100)}
	to := &leader{id: "lead"}
	p.outbox = newOutbox(1<<20, func() *leader { return to }, func(_ *leader, sent *parcel) { p.sent <- sent })
	t.Cleanup(p.close)
	return p
}

// update puts an update, and sends it if it can be sent.
func (p *post) update() *waiter {
	p.t.Helper()
	w, err := p.put(p.t.Context(), nil, []byte("add x"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.dispatch()
	return w
}

// next returns the next parcel that was sent.
func (p *post) next(what string) *parcel {
	p.t.Helper()
	synctest.Wait()
	if len(p.sent) == 0 {
		p.t.Fatalf("%s was not sent", what)
	}
	return <-p.sent
}

// begin lets the log begin the session that a parcel asks for.
func (p *post) begin(asked *parcel) uint64 {
	p.t.Helper()
	id := p.table.begin(asked.nonce, 0)
	if !p.began(asked.nonce, id) {
		p.t.Fatal("the session that was asked for is not this node's")
	}
	p.settle(asked, nil)
	return id
}

// outcome returns what has become of an update.
func (p *post) outcome(w *waiter) string {
	synctest.Wait()
	select {
	case <-w.done:
	default:
		return "waits"
	}
	if errors.Is(w.err, store.ErrUnknown) {
		return "unknown"
	}
	p.t.Errorf("an update has ended with %v, %v", w.result, w.err)
	return ""
}

// TestASessionThatASnapshotDoesNotHaveIsBegunAgain restores a snapshot in place of the entry that
// has begun a session, which was forgotten by then.
func TestASessionThatASnapshotDoesNotHaveIsBegunAgain(t *testing.T) {
	for name, c := range map[string]struct {
		before, after func(p *post, asked *parcel)
	}{
		"the leader has answered":            {before: func(p *post, asked *parcel) { p.settle(asked, nil) }},
		"it answers later":                   {after: func(p *post, asked *parcel) { p.settle(asked, nil) }},
		"it can not be reached any more":     {after: func(p *post, asked *parcel) { p.settle(asked, errGone) }},
		"it could not be reached, at first":  {before: func(p *post, asked *parcel) { p.settle(asked, errGone) }},
		"the entry is after the snapshot":    {after: func(p *post, asked *parcel) { p.late(asked) }},
		"and so it is, of one that answered": {before: func(p *post, asked *parcel) { p.settle(asked, nil) }, after: func(p *post, asked *parcel) { p.late(asked) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPost(t)
				w := p.update()
				asked := p.next("the first session")
				if c.before != nil {
					c.before(p, asked)
				}
				if id := p.restored(p.table); id != 0 {
					t.Fatalf("it has session %d of an empty table", id)
				}
				time.Sleep(lastRetry)
				again := p.next("another session")
				if again.waiters != nil || again.nonce == asked.nonce {
					t.Fatal("what was sent begins no other session")
				}
				if c.after != nil {
					c.after(p, asked)
				}
				time.Sleep(lastRetry)
				p.begin(again)
				if sent := p.next("the update"); len(sent.waiters) != 1 || sent.waiters[0] != w {
					t.Error("what was sent in the session is not the update")
				}
				if time.Sleep(time.Minute); len(p.sent) != 0 {
					t.Errorf("%d parcels more were sent", len(p.sent))
				}
				if got := p.outcome(w); got != "waits" {
					t.Errorf("the update, which was sent once, is %s", got)
				}
			})
		})
	}
}

// late applies the entry that begins a session which this node does not want any more.
func (p *post) late(asked *parcel) {
	if p.began(asked.nonce, p.table.begin(asked.nonce, 0)) {
		p.t.Error("a session that was given up is this node's")
	}
	p.settle(asked, nil)
}

// TestWhatASnapshotLeavesInDoubtIsUnknown restores snapshots whose table does, or does not, say
// what has become of updates that were sent.
func TestWhatASnapshotLeavesInDoubtIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *post, id uint64) // the table
		answer error                    // to what was sent
		want   string
	}{
		"applied":                         {func(p *post, id uint64) { p.table.sessions[id].add(1) }, nil, "unknown"},
		"not applied yet":                 {func(*post, uint64) {}, nil, "waits"},
		"forgotten":                       {func(p *post, id uint64) { delete(p.table.sessions, id) }, nil, "unknown"},
		"forgotten, and to be sent again": {func(p *post, id uint64) { delete(p.table.sessions, id) }, errGone, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPost(t)
				first := p.update()
				id := p.begin(p.next("the session"))
				p.settle(p.next("the update"), c.answer)
				p.mu.Lock()
				p.paused = true // so that the other one is not sent
				p.mu.Unlock()
				w := p.update()
				c.change(p, id)
				p.restored(p.table)
				if got := p.outcome(first); got != c.want {
					t.Errorf("the update that was sent %s, and should be: %s", got, c.want)
				}
				if got := p.outcome(w); got != "waits" {
					t.Errorf("the one that was not sent is %s", got)
				}
			})
		})
	}
}

// TestAnUpdateOfAnEarlierSessionIsUnknownAfterASnapshot has a session forgotten while two updates
// are on their way, of which this node sees one refused for that, and the other one not.
func TestAnUpdateOfAnEarlierSessionIsUnknownAfterASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t)
		seen := p.update()
		first := p.begin(p.next("the session"))
		p.settle(p.next("the first update"), nil)
		unseen := p.update()
		p.settle(p.next("the second update"), nil)
		delete(p.table.sessions, first)
		p.deliver([]delivery{{session: first, seq: seen.seq, lost: true}})
		asked := p.next("another session")
		p.settle(asked, nil)
		second := p.table.begin(asked.nonce, 0)
		if id := p.restored(p.table); id != second {
			t.Fatalf("the session is %d, and in the snapshot it is %d", id, second)
		}
		if got := p.outcome(unseen); got != "unknown" {
			t.Errorf("the update that was sent in the first session, and not answered: %s", got)
		}
		if sent := p.next("the update that was refused"); len(sent.waiters) != 1 || sent.waiters[0] != seen {
			t.Error("it is another one")
		}
		if got := p.outcome(seen); got != "waits" {
			t.Errorf("the one that was refused, and is sent again: %s", got)
		}
	})
}
