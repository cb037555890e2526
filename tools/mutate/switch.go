package main

import (
	"bytes"
	"fmt"
)

// The environment of a test binary with mutants.
const (
	selectEnv = "MUTATE_SELECT" // the number of the mutant that is to act
	reachEnv  = "MUTATE_REACH"  // a file with a byte for each mutant, set to 1 when it is reached
)

// switchFile is added to the mutated package. Each switch returns what the
// program computes, unless its mutant is the selected one.
const switchFile = `package %s

import (
	"os"
	"strconv"
	"syscall"
)

var mutantSelected, mutantReached = mutantSetup()

func mutantSetup() (int, []byte) {
	selected, err := strconv.Atoi(os.Getenv("` + selectEnv + `"))
	if err != nil {
		selected = -1
	}
	name := os.Getenv("` + reachEnv + `")
	if name == "" {
		return selected, nil
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	reached, err := syscall.Mmap(int(f.Fd()), 0, %d, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return selected, reached
}

func mutant(id int) bool {
	if mutantReached != nil {
		mutantReached[id] = 1
	}
	return id == mutantSelected
}

type mutantInteger interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

type mutantNumber interface {
	mutantInteger | ~float32 | ~float64
}

func mutantTrue(id int, b bool) bool {
	return mutant(id) || b
}

func mutantFalse(id int, b bool) bool {
	return !mutant(id) && b
}

func mutantConst[T mutantInteger](id int, c, other T) T {
	if mutant(id) {
		return other
	}
	return c
}

func mutantError(id int, err error) error {
	if mutant(id) {
		return nil
	}
	return err
}

func mutantLess[T mutantNumber | ~string](id int, a, b T) bool {
	return a < b || mutant(id) && a == b
}

func mutantLessEqual[T mutantNumber | ~string](id int, a, b T) bool {
	return a < b || !mutant(id) && a == b
}

func mutantAdd[T mutantNumber](id int, a, b T) T {
	if mutant(id) {
		return a - b
	}
	return a + b
}

func mutantSub[T mutantNumber](id int, a, b T) T {
	if mutant(id) {
		return a + b
	}
	return a - b
}

func mutantMul[T mutantNumber](id int, a, b T) T {
	if mutant(id) {
		return a / b
	}
	return a * b
}

func mutantDiv[T mutantNumber](id int, a, b T) T {
	if mutant(id) {
		return a * b
	}
	return a / b
}

func mutantAnd[T mutantInteger](id int, a, b T) T {
	if mutant(id) {
		return a | b
	}
	return a & b
}

func mutantOr[T mutantInteger](id int, a, b T) T {
	if mutant(id) {
		return a & b
	}
	return a | b
}
`

// switches returns the text of switchFile for n mutants of a package.
func switches(pkg string, n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, switchFile, pkg, max(n, 1))
	return b.Bytes()
}
