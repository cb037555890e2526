package statetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
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
