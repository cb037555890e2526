package sample

import "testing"

func TestClamp(t *testing.T) {
	for n, want := range map[int]int{0: 1, 5: 5, 10: 9} {
		if got := Clamp(n, 1, 9); got != want {
			t.Errorf("Clamp(%d) = %d", n, got)
		}
	}
}

func TestSum(t *testing.T) {
	if got := Sum(3); got != 6 {
		t.Errorf("Sum(3) = %d", got)
	}
}

func TestCheck(t *testing.T) {
	for n := range 9 {
		if err := Check(n); (err == nil) != (n >= 5) {
			t.Errorf("Check(%d) = %v", n, err)
		}
	}
}

func TestFailsAlways(t *testing.T) { t.Error("so it can't judge") }
