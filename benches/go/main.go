// The shapes of the suite in Go: the same sizes, the same operations, the same output lines.
//
// Run by run.sh. Prints "bench<TAB>nanoseconds for an operation", median of nine after a warm-up;
// memory is in bytes.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"time"
)

const reps = 9

// A bench returns nanoseconds (or bytes) for one operation.
type bench struct {
	name string
	run  func() float64
}

func main() {
	benches := []bench{
		{"spawn/1", func() float64 { return spawn(1) }},
		{"spawn/32", func() float64 { return spawn(32) }},
		{"join", join},
		{"yield/2", func() float64 { return yield(2) }},
		{"yield/1000", func() float64 { return yield(1000) }},
		{"chan/ping-pong", pingPong},
		{"chan/stream", stream},
		{"chan/8x8", many},
		{"mutex/free", mutexFree},
		{"mutex/contended", mutexContended},
		{"skynet", skynet},
		{"ring", ring},
		{"sieve", sieve},
		{"sleep/50us", func() float64 { return sleep(50*time.Microsecond, 2000) }},
		{"sleep/1ms", func() float64 { return sleep(time.Millisecond, 200) }},
	}
	if len(os.Args) > 1 && os.Args[1] == "memory" {
		memory()
		return
	}
	for _, b := range benches {
		if len(os.Args) > 1 && !strings.Contains(b.name, os.Args[1]) {
			continue
		}
		b.run()
		samples := make([]float64, reps)
		for i := range samples {
			samples[i] = b.run()
		}
		sort.Float64s(samples)
		fmt.Printf("%s\t%.1f\n", b.name, samples[reps/2])
	}
}

// The time since begun for each of n operations.
func each(begun time.Time, n int) float64 {
	return float64(time.Since(begun).Nanoseconds()) / float64(n)
}
