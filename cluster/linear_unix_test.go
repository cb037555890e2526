//go:build unix

package cluster

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// A registerOp is what a client asks for: "set" or "put" a key, or "get" or "local".
type registerOp struct{ kind, key, value string }

func (op registerOp) writes() bool { return op.kind == "set" || op.kind == "put" }

// A registerResult is what a client was told. Nothing is known of an update that was
// not answered.
type registerResult struct {
	value   string
	unknown bool
}

// registers are what the nodes must look like from outside: registers by name, and
// whoever sets one, and does not only put it, is told its former value.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(registerOp).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		in, out := input.(registerOp), output.(registerResult)
		if in.writes() {
			return in.kind == "put" || out.unknown || out.value == state, in.value
		}
		return out.value == state, state
	},
}

// A history is what clients have seen.
type history struct {
	began   time.Time
	clients atomic.Int64

	mu      sync.Mutex
	ops     []porcupine.Operation
	unknown int
}

// run has clients ask all nodes until stop is closed. Reads are of the given kind.
func (h *history) run(f *fleet, read string, stop <-chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	h.began = time.Now()
	for i := range 2 * len(f.configs) {
		wg.Go(func() {
			c := &caller{addr: f.configs[i%len(f.configs)].Serve}
			r := rand.New(rand.NewPCG(uint64(i), 7))
			client := int(h.clients.Add(1))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				op := registerOp{kind: read, key: fmt.Sprintf("k%d.%d", time.Since(h.began)/(500*time.Millisecond), r.IntN(2))}
				if r.IntN(3) == 0 {
					op.kind, op.value = []string{"set", "put"}[r.IntN(2)], fmt.Sprintf("v%d.%0100d", client, n)
				}
				if !h.do(c, client, op) {
					client = int(h.clients.Add(1)) // the former one still waits, for the model
					wait(10*time.Millisecond, stop)
				}
			}
		})
	}
	return &wg
}

// do does one operation, and reports whether it was answered.
func (h *history) do(c *caller, client int, in registerOp) bool {
	line := in.kind + " " + in.key
	if in.writes() {
		line += " " + in.value
	}
	op := porcupine.Operation{ClientId: client, Input: in, Call: int64(time.Since(h.began))}
	answer, err := c.do(line, 5*time.Second)
	op.Return, op.Output = int64(time.Since(h.began)), registerResult{value: answer}
	switch {
	case errors.Is(err, errNothing), err != nil && !in.writes():
		return false
	case err != nil:
		op.Return, op.Output = math.MaxInt64, registerResult{unknown: true}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
	if err != nil {
		h.unknown++
	}
	return err == nil
}

// check checks the history so far.
func (h *history) check() porcupine.CheckResult {
	h.mu.Lock()
	ops := slices.Clone(h.ops)
	h.mu.Unlock()
	return porcupine.CheckOperationsTimeout(registers, ops, 2*time.Minute)
}

// faultTime is how long a run with faults takes: STATEIO_CLUSTER_TIME, or as long as
// the tests can afford.
func faultTime(t *testing.T) time.Duration {
	if s := os.Getenv("STATEIO_CLUSTER_TIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 10 * time.Second
}

// faults are what is done to processes, one thing after the other.
var faults = map[string]func(f *fleet, r *rand.Rand){
	"kill the leader": func(f *fleet, r *rand.Rand) {
		i := f.leader()
		f.kill(i)
		wait(time.Duration(r.IntN(800))*time.Millisecond, nil)
		f.start(i)
	},
	"kill any": func(f *fleet, r *rand.Rand) {
		i := r.IntN(len(f.configs))
		f.kill(i)
		wait(time.Duration(r.IntN(800))*time.Millisecond, nil)
		f.start(i)
	},
	"kill all": func(f *fleet, _ *rand.Rand) {
		for i := range f.configs {
			f.kill(i)
		}
		for i := range f.configs {
			f.start(i)
		}
	},
	"pause the leader": pauseLeader,
	"isolate the leader": func(f *fleet, r *rand.Rand) {
		i := f.leader()
		if err := f.tell(i, "isolate"); err != nil {
			f.t.Errorf("isolating node %d: %v", i, err)
		}
		wait(time.Duration(300+r.IntN(700))*time.Millisecond, nil)
		if err := f.tell(i, "heal"); err != nil {
			f.t.Errorf("letting node %d back: %v", i, err)
		}
	},
	"slow disk": func(f *fleet, r *rand.Rand) {
		i := f.leaderOrAny(r)
		f.during(r, i, fmt.Sprintf("slow %d", 20+r.IntN(200)), "slow 0")
	},
	"full disk": func(f *fleet, r *rand.Rand) {
		i := f.leaderOrAny(r)
		f.during(r, i, "full", "space")
	},
	"hand over": func(f *fleet, _ *rand.Rand) {
		_ = f.tell(f.leader(), "transfer") // it may have lost the lead meanwhile
	},
	"restart one by one": func(f *fleet, _ *rand.Rand) {
		for i := range f.configs {
			if err := f.tell(i, "close"); err != nil {
				f.t.Errorf("closing node %d: %v", i, err)
			}
			f.kill(i)
			f.start(i)
			f.healthy(i)
		}
	},
	"change members": func(f *fleet, r *rand.Rand) {
		lead := f.leader()
		i := (lead + 1 + r.IntN(len(f.configs)-1)) % len(f.configs)
		// What fails may have been done: a leader that is deposed can't tell.
		eventually(f.t, "a member is removed", func() bool {
			err := f.tell(lead, "remove "+f.configs[i].ID)
			return err == nil || strings.Contains(err.Error(), "there is no member")
		})
		f.kill(i)
		if err := os.RemoveAll(f.configs[i].Dir); err != nil {
			f.t.Error(err)
		}
		f.configs[i].Members, f.configs[i].Join = nil, f.listens()
		f.start(i)
		eventually(f.t, "the node that was removed is a member again", func() bool {
			s, err := f.status(i)
			return err == nil && s.Voter
		})
	},
}

// leaderOrAny returns the process that leads, or any.
func (f *fleet) leaderOrAny(r *rand.Rand) int {
	if r.IntN(2) == 0 {
		i := r.IntN(len(f.configs))
		f.sure(i) // it may have been started just now
		return i
	}
	return f.leader()
}

// during has a process do something bad to itself for a while, and end that.
func (f *fleet) during(r *rand.Rand, i int, bad, good string) {
	f.t.Helper()
	for _, line := range []string{bad, good} {
		if err := f.tell(i, line); err != nil {
			f.t.Errorf("telling node %d %q: %v", i, line, err)
		}
		if line == bad {
			wait(time.Duration(300+r.IntN(900))*time.Millisecond, nil)
		}
	}
}

// healthy waits until a process that was started can answer reads, which is when the
// next one may be stopped.
func (f *fleet) healthy(i int) {
	f.t.Helper()
	eventually(f.t, "a node that was restarted has caught up", func() bool {
		_, err := f.ask(i, "get k", 5*time.Second)
		return err == nil
	})
}

// pauseLeader pauses the leader for long enough that the others elect another one.
func pauseLeader(f *fleet, r *rand.Rand) {
	i := f.leader()
	f.signal(i, syscall.SIGSTOP)
	wait(time.Duration(400+r.IntN(500))*time.Millisecond, nil)
	f.signal(i, syscall.SIGCONT)
}

// TestReadsAndUpdatesAreLinearizable lets clients set and read registers on all
// nodes, while processes are killed, restarted, paused, cut off, removed and let in
// again, have disks that are slow or full, and fall so far behind that they need a snapshot.
func TestReadsAndUpdatesAreLinearizable(t *testing.T) {
	names := []string{
		"kill the leader", "pause the leader", "full disk", "isolate the leader", "kill any", "slow disk", "hand over",
		"change members", "restart one by one", "kill all",
	}
	startFleet(t, 3, nil).linearizable(faults, names)
}

// linearizable lets clients set and read registers on all nodes, while things happen
// to them: those named, in turn.
func (f *fleet) linearizable(faults map[string]func(*fleet, *rand.Rand), names []string) {
	f.t.Helper()
	f.leader()
	defer func() {
		if f.t.Failed() {
			f.describe()
		}
	}()
	h, stop := &history{}, make(chan struct{})
	wg := h.run(f, "get", stop)
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	n := 0
	for end := time.Now().Add(faultTime(f.t)); n < len(names) || time.Now().Before(end); n++ {
		faults[names[n%len(names)]](f, r)
		wait(time.Duration(300+r.IntN(700))*time.Millisecond, nil)
	}
	f.awaitSnapshotInstall()
	close(stop)
	wg.Wait()
	restores := uint64(0)
	for i := range f.configs {
		if s, err := f.status(i); err == nil {
			restores += s.Restores
		}
	}
	f.t.Logf("%d operations, %d of them unknown; %d faults, seed %d; %d snapshots installed since the last restarts", len(h.ops), h.unknown, n, seed, restores)
	if got := h.check(); got != porcupine.Ok {
		f.t.Errorf("the history of %d operations is %v", len(h.ops), got)
	}
	f.equalStates()
}

// awaitSnapshotInstall keeps one node down for as long as it takes the others to drop
// the log that it lacks, and starts it, so that it must get a snapshot.
func (f *fleet) awaitSnapshotInstall() {
	f.t.Helper()
	for range 5 {
		lead := f.leader()
		away := (lead + 1) % len(f.configs)
		f.kill(away)
		was := f.sure(lead)
		eventually(f.t, "the leader has made more snapshots, and dropped the log before", func() bool {
			_, _ = f.ask(lead, "set pad "+strings.Repeat("x", 8000), 5*time.Second) // those of the clients are small
			s, err := f.status(lead)
			return err == nil && (s.Stats.Snapshots >= was.Stats.Snapshots+3 || !s.Leads)
		})
		now := f.sure(lead)
		f.start(away)
		eventually(f.t, "the node that was away has caught up", func() bool {
			s, err := f.status(away)
			return err == nil && s.Stats.Applied >= now.Stats.Applied
		})
		if f.sure(away).Restores > 0 {
			return
		}
	}
	f.t.Error("no node that was away has restored a snapshot: this tests less than it should")
}

// equalStates fails unless the machines of all processes become equal: updates that were given
// up may be on their way still.
func (f *fleet) equalStates() {
	f.t.Helper()
	eventually(f.t, "all processes have the same state", func() bool {
		states := map[string]bool{}
		for i := range f.configs {
			got, err := f.ask(i, "state", 10*time.Second)
			if err != nil {
				return false
			}
			states[got] = true
		}
		return len(states) == 1
	})
}

// TestLocalReadsAreNotLinearizable makes sure that the test above would notice.
func TestLocalReadsAreNotLinearizable(t *testing.T) {
	startFleet(t, 3, nil).notLinearizable("local", func() { wait(300*time.Millisecond, nil) })
}

// notLinearizable makes sure that reads of a kind are found not to be linearizable,
// while something is done again and again.
func (f *fleet) notLinearizable(read string, do func()) {
	f.t.Helper()
	f.leader()
	h, stop := &history{}, make(chan struct{})
	wg := h.run(f, read, stop)
	defer func() { close(stop); wg.Wait() }()
	eventually(f.t, "reads are found not to be linearizable", func() bool {
		do()
		return h.check() == porcupine.Illegal
	})
}

// TestReadsOfALeaderThatDoesNotAskAreNotLinearizable makes sure that the test above
// would notice a leader that trusts itself: one that was paused and has not yet heard
// of its successor.
func TestReadsOfALeaderThatDoesNotAskAreNotLinearizable(t *testing.T) {
	f := startFleet(t, 3, func(c *childConfig) { c.Unverified = true })
	r := rand.New(rand.NewPCG(1, 1))
	f.notLinearizable("get", func() {
		pauseLeader(f, r)
		wait(100*time.Millisecond, nil)
	})
}

// TestUpdatesThatOneLogHasAreNotLinearizable makes sure that the test above would notice
// nodes that acknowledge an update when their own log has grown, before a majority has it.
func TestUpdatesThatOneLogHasAreNotLinearizable(t *testing.T) {
	f := startFleet(t, 3, func(c *childConfig) { c.Early = true })
	r := rand.New(rand.NewPCG(1, 2))
	f.notLinearizable("get", func() { faults["isolate the leader"](f, r) })
}

// TestUpdatesThatAreAppliedTwiceAreNotLinearizable makes sure that the test above would notice
// updates that were forwarded, and again for want of an answer, and are applied both times.
func TestUpdatesThatAreAppliedTwiceAreNotLinearizable(t *testing.T) {
	f := startFleet(t, 3, func(c *childConfig) { c.Twice = true })
	f.notLinearizable("get", func() { wait(300*time.Millisecond, nil) })
}

// TestACounterEndsAtWhatWasAcknowledged counts over kills: the sum is at least the
// number of acknowledged updates, and at most that and the unknown ones.
func TestACounterEndsAtWhatWasAcknowledged(t *testing.T) {
	f := startFleet(t, 3, nil)
	f.leader()
	stop := make(chan struct{})
	var acked, unknown atomic.Int64
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			c := &caller{addr: f.configs[i%3].Serve}
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch _, err := c.do("add x", 5*time.Second); {
				case err == nil:
					acked.Add(1)
				case errors.Is(err, errNothing):
					wait(10*time.Millisecond, stop)
				default:
					unknown.Add(1)
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	kills := 0
	for end := time.Now().Add(faultTime(t)); kills < 4 || time.Now().Before(end); kills++ {
		faults["kill the leader"](f, r)
		wait(time.Duration(300+r.IntN(700))*time.Millisecond, nil)
	}
	close(stop)
	wg.Wait()
	got := f.sum("x")
	t.Logf("%d kills: the sum is %d, %d updates were acknowledged, %d are unknown", kills, got, acked.Load(), unknown.Load())
	if got < acked.Load() || got > acked.Load()+unknown.Load() {
		t.Errorf("the sum is %d after %d acknowledged and %d unknown updates", got, acked.Load(), unknown.Load())
	}
	f.equalStates()
}

// sum reads a sum on a node that answers.
func (f *fleet) sum(name string) (sum int64) {
	f.t.Helper()
	eventually(f.t, "the sum can be read", func() bool {
		answer, err := f.ask(0, "sum "+name, 5*time.Second)
		if err != nil {
			return false
		}
		sum, err = strconv.ParseInt(answer, 10, 64)
		return err == nil
	})
	return sum
}
