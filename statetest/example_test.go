package statetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// bank is a machine whose state are the balances of accounts.
type bank struct{ balance map[string]int }

func newBank() store.Machine { return &bank{balance: map[string]int{}} }

// transfer is an update. An empty From is the outside world.
type transfer struct {
	From, To string
	Amount   int
}

var errFunds = errors.New("bank: insufficient funds")

func (b *bank) Apply(update []byte) (any, error) {
	var t transfer
	if err := json.Unmarshal(update, &t); err != nil {
		return nil, err
	}
	if t.From != "" && b.balance[t.From] < t.Amount {
		return nil, errFunds // before anything is changed
	}
	if t.From != "" {
		b.balance[t.From] -= t.Amount
	}
	b.balance[t.To] += t.Amount
	return b.balance[t.To], nil
}

func (b *bank) Snapshot() (io.WriterTo, error) { return balances(maps.Clone(b.balance)), nil }

func (b *bank) Restore(snapshot io.Reader) error {
	b.balance = map[string]int{} // Decode would only add to the old one
	return json.NewDecoder(snapshot).Decode(&b.balance)
}

// balances is a captured state.
type balances map[string]int

func (s balances) WriteTo(w io.Writer) (int64, error) {
	b, err := json.Marshal(s) // in the order of the keys
	if err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}

// transfers returns an endless stream of updates. With few accounts and large
// amounts, some are refused.
func transfers(seed uint64) iter.Seq[[]byte] {
	rng := rand.New(rand.NewPCG(seed, 0))
	accounts := []string{"", "ann", "bob", "eve"}
	return func(yield func([]byte) bool) {
		for {
			update, err := json.Marshal(transfer{
				From:   accounts[rng.IntN(4)],
				To:     accounts[1+rng.IntN(3)],
				Amount: 1 + rng.IntN(100),
			})
			if err != nil || !yield(update) {
				return
			}
		}
	}
}

// testBank is the whole test. In a program it is
//
//	func TestBank(t *testing.T) { statetest.Run(t, newBank, transfers(1), nil) }
func testBank(t testing.TB) {
	statetest.Run(t, newBank, transfers(1), nil)
}

func ExampleRun() {
	t := &printer{} // stands for the *testing.T of a test
	testBank(t)
	fmt.Println("failed:", t.failed)
	// Output:
	// failed: false
}

// mergingBank is a bank with a bug that is easy to miss: json decodes into a map
// by adding to what it holds.
type mergingBank struct{ bank }

func (b *mergingBank) Restore(snapshot io.Reader) error {
	return json.NewDecoder(snapshot).Decode(&b.balance)
}

func ExampleRun_failure() {
	newMachine := func() store.Machine { return &mergingBank{bank{map[string]int{}}} }
	t := &printer{} // stands for the *testing.T of a test
	statetest.Run(t, newMachine, transfers(1), &statetest.Options{Seed: 1})
	// Output:
	// statetest: check "Restore replaces the whole state" failed: the snapshot taken after 0 updates, restored over a machine that had applied all updates, left something of the old state:
	//   got  `{"eve":56}`
	//   want `{}`
	// (If they are the same state in other words, give Options.Equal, a function that compares two machines.)
	//
	// The contract: Restore replaces the whole state by the one that WriteTo wrote, whatever the state was before.
	//
	// The shortest sequence of updates that shows it (1):
	//    1  `{"From":"","To":"eve","Amount":56}`
	//
	// Seed 1; repeat it with
	//   STATEIO_CRASH_SEED=1 go test -run '^TestBank$'
}

// A tab is a typed machine: what guests owe. It is kept as JSON.
type tab struct {
	store.JSONState[map[string]int]
}

func newTab() *tab { return &tab{store.JSONState[map[string]int]{State: map[string]int{}}} }

// A drink is an update of a tab.
type drink struct {
	Guest string
	Price int
}

func (t *tab) Apply(o drink) (int, error) {
	t.State[o.Guest] += o.Price
	return t.State[o.Guest], nil
}

func drinks() iter.Seq[drink] {
	return func(yield func(drink) bool) {
		for i := 0; ; i++ {
			if !yield(drink{Guest: string(rune('a' + i%3)), Price: i}) {
				return
			}
		}
	}
}

// In a program the test is
//
//	func TestTab(t *testing.T) { testTab(t) }
func testTab(t testing.TB) {
	statetest.RunTyped(t, func() store.TypedMachine[drink, int] { return newTab() }, nil, drinks(), nil)
}

func ExampleRunTyped() {
	t := &printer{} // stands for the *testing.T of a test
	testTab(t)
	fmt.Println("failed:", t.failed)
	// Output:
	// failed: false
}

// A gauge changes its state by itself, and logs what it did with Store.Change: that is what
// Replay is for.
type gauge struct{ level int }

func (g *gauge) Apply(update []byte) (any, error) {
	var by int
	err := json.Unmarshal(update, &by)
	g.level += by
	return g.level, err
}

func (g *gauge) Snapshot() (io.WriterTo, error) {
	level := g.level
	return store.WriterFunc(func(w io.Writer) error { return json.NewEncoder(w).Encode(level) }), nil
}

func (g *gauge) Restore(r io.Reader) error { return json.NewDecoder(r).Decode(&g.level) }

func testGauge(t testing.TB) {
	dir, err := os.MkdirTemp("", "gauge") //nolint:usetesting // t may be a printer, see ExampleReplay
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	live := &gauge{}
	s, err := store.Open(dir, live, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for by := range 5 {
		if _, err := s.Change(context.Background(), func(tx *store.Tx) error {
			if err := tx.Append(fmt.Append(nil, by)); err != nil {
				return err
			}
			live.level += by
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	statetest.Replay(t, dir, live, &gauge{}, nil)
}

func ExampleReplay() {
	t := &printer{} // stands for the *testing.T of a test
	testGauge(t)
	fmt.Println("failed:", t.failed)
	// Output:
	// failed: false
}

// printer is a testing.TB that prints failures.
type printer struct {
	testing.TB
	failed bool
}

func (p *printer) Helper()             {}
func (p *printer) Name() string        { return "TestBank" }
func (p *printer) Logf(string, ...any) {}
func (p *printer) Errorf(format string, args ...any) {
	p.failed = true
	fmt.Printf(format, args...)
}
