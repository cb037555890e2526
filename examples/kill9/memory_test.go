package main

import (
	"slices"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// after returns the account with these entries.
func after(texts ...string) account {
	var a account
	for _, text := range texts {
		a = a.add(text)
	}
	return a
}

// A comparison finds what was lost, and what is there and must not be, and nothing else.
func TestCompare(t *testing.T) {
	for name, c := range map[string]struct {
		sent []string // to writer-001; each but the last was acknowledged
		last bool     // the last one, too
		told account  // what somebody else was told of "me"
		has  map[string]account
		want verdict
	}{
		"all is there":                 {sent: []string{"1", "2"}, last: true, has: map[string]account{"writer-001": after("1", "2")}},
		"nothing was sent":             {},
		"on its way, and not there":    {sent: []string{"1", "2"}, has: map[string]account{"writer-001": after("1")}},
		"on its way, and there":        {sent: []string{"1", "2"}, has: map[string]account{"writer-001": after("1", "2")}, want: verdict{Extra: 1}},
		"the first on its way":         {sent: []string{"1"}},
		"the last is lost":             {sent: []string{"1", "2"}, last: true, has: map[string]account{"writer-001": after("1")}, want: verdict{Lost: 1}},
		"all are lost":                 {sent: []string{"1", "2", "3"}, has: nil, want: verdict{Lost: 2}},
		"lost, with one on its way":    {sent: []string{"1", "2", "3"}, has: map[string]account{"writer-001": after("1")}, want: verdict{Lost: 1}},
		"one in the middle is missing": {sent: []string{"1", "2", "3"}, last: true, has: map[string]account{"writer-001": after("1", "3")}, want: verdict{Lost: 1}},
		"two have changed places":      {sent: []string{"1", "2", "3"}, last: true, has: map[string]account{"writer-001": after("2", "1", "3")}, want: verdict{Wrong: 1}},
		"one was made twice":           {sent: []string{"1", "2"}, last: true, has: map[string]account{"writer-001": after("1", "2", "2")}, want: verdict{Wrong: 1}},
		"one lost, and one on its way": {sent: []string{"1", "2", "3"}, has: map[string]account{"writer-001": after("1", "3")}, want: verdict{Wrong: 1}},
		"one that nobody has sent":     {has: map[string]account{"writer-009": after("1")}, want: verdict{Wrong: 1}},
		"mine is there":                {told: after("a", "b"), has: map[string]account{"me": after("a", "b")}},
		"mine has more than I know":    {told: after("a"), has: map[string]account{"me": after("a", "b", "c")}, want: verdict{Extra: 2}},
		"mine is lost":                 {told: after("a", "b"), has: map[string]account{"me": after("a")}, want: verdict{Lost: 1}},
		"mine is another":              {told: after("a", "b"), has: map[string]account{"me": after("a", "x")}, want: verdict{Wrong: 1}},
		"somebody's, not told":         {has: map[string]account{"you": after("a")}, want: verdict{Extra: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			for i, text := range c.sent {
				m.sending("writer-001", text)
				if c.last || i < len(c.sent)-1 {
					if !m.acknowledged("writer-001", after(c.sent[:i+1]...)) {
						t.Fatal("the right answer is wrong")
					}
				}
			}
			if c.told.Count > 0 {
				m.told("me", c.told)
			}
			if got := m.compare(c.has); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			_, lost, wrong := m.sums()
			if lost != c.want.Lost || wrong != c.want.Wrong {
				t.Errorf("the sums are %d lost and %d wrong, want %+v", lost, wrong, c.want)
			}
			if again := m.compare(c.has); again != (verdict{}) {
				t.Errorf("the same again: %+v", again)
			}
		})
	}
}

// An answer that is not what the entries make is noticed at once.
func TestAWrongAnswerIsNoticed(t *testing.T) {
	m := newMemory()
	m.sending("writer-001", "1")
	if m.acknowledged("writer-001", after("2")) {
		t.Error("it is not noticed")
	}
	if _, _, wrong := m.sums(); wrong != 1 {
		t.Errorf("%d accounts are wrong", wrong)
	}
}

// What is told late does not take back what is known.
func TestLateAnswersCountOnce(t *testing.T) {
	m := newMemory()
	m.told("me", after("a", "b"))
	m.told("me", after("a"))
	if v := m.compare(map[string]account{"me": after("a")}); v.Lost != 1 {
		t.Errorf("of an entry that was acknowledged first and lost: %+v", v)
	}
}

func TestLedger(t *testing.T) {
	statetest.RunTyped(t, func() store.TypedMachine[entry, account] {
		return newLedger()
	}, nil, slices.Values([]entry{{"a", "1"}, {"b", ""}, {"a", "2"}, {"ü", "line\n"}, {"a", "2"}}), nil)
}
