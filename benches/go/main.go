// The shapes of the suite in Go: the same sizes, the same operations, the same output lines.
//
// The suite runs it as a peer (`serve`), run.sh alone. Alone it prints "bench<TAB>nanoseconds for an
// operation", median of nine after a warm-up, a line for each number; memory is in bytes.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"time"
)

const reps = 9

// A bench returns nanoseconds (or bytes) for one operation, a number for each of the suite's metrics.
type bench struct {
	name string
	run  func() []float64
}

// A bench with one number.
func one(run func() float64) func() []float64 {
	return func() []float64 { return []float64{run()} }
}

var benches = []bench{
	{"spawn/1", one(func() float64 { return spawn(1) })},
	{"spawn/32", one(func() float64 { return spawn(32) })},
	{"join", one(join)},
	{"yield/2", one(func() float64 { return yield(2) })},
	{"yield/1000", one(func() float64 { return yield(1000) })},
	{"chan/ping-pong", one(pingPong)},
	{"chan/stream", one(stream)},
	{"chan/8x8", one(many)},
	{"select/2", selectTwo},
	{"select/8", selectEight},
	{"close", closing},
	{"mutex/free", one(mutexFree)},
	{"mutex/contended", one(mutexContended)},
	{"rwlock/read", func() []float64 { return readers(1, 8_000_000) }},
	{"rwlock/scan", func() []float64 { return readers(1000, 1_000_000) }},
	{"skynet", one(skynet)},
	{"ring", one(ring)},
	{"sieve", one(sieve)},
	{"sleep/50us", one(func() float64 { return sleep(50*time.Microsecond, 2000) })},
	{"sleep/1ms", one(func() float64 { return sleep(time.Millisecond, 200) })},
	{"timer/arm", arm},
	{"timer/late", late},
	{"preempt/echo", echoBesideHogs},
	{"preempt/sleep", sleepBesideHogs},
	{"preempt/shares", sharesOfHogs},
}

func main() {
	filter := strings.Join(os.Args[1:], " ")
	switch filter {
	case "memory":
		memory()
	case "list":
		for _, b := range benches {
			fmt.Println(b.name)
		}
	case "serve":
		serve()
	default:
		for _, b := range benches {
			if strings.Contains(b.name, filter) {
				measure(b)
			}
		}
	}
}

// The suite's peer: for each line with a bench's name, the numbers of one repetition.
func serve() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		for _, b := range benches {
			if b.name == lines.Text() {
				runtime.GC()
				fmt.Println(strings.Trim(fmt.Sprint(b.run()), "[]"))
			}
		}
	}
}

// Prints the medians.
func measure(b bench) {
	samples := make([][]float64, len(b.run()))
	for range reps {
		for i, number := range b.run() {
			samples[i] = append(samples[i], number)
		}
	}
	for _, sample := range samples {
		sort.Float64s(sample)
		fmt.Printf("%s\t%.1f\n", b.name, sample[reps/2])
	}
}

// The time since begun for each of n operations.
func each(begun time.Time, n int) float64 {
	return float64(time.Since(begun).Nanoseconds()) / float64(n)
}
