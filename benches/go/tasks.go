// Starting, switching, sleeping, holding: what `suite/spawn.rs`, `yielding.rs`, `sleep.rs` and
// `memory.rs` measure.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func spawn(batch int) float64 {
	batches := 3_200_000 / batch
	tasks := batches * batch
	var ran atomic.Int64
	begun := time.Now()
	for range batches {
		for range batch {
			go func() { ran.Add(1) }()
		}
		runtime.Gosched()
	}
	for ran.Load() < int64(tasks) {
		runtime.Gosched()
	}
	return each(begun, tasks)
}

// Go has no join: a channel is what its users take.
func join() float64 {
	const n = 1_000_000
	sum := 0
	begun := time.Now()
	for i := range n {
		done := make(chan int)
		go func() { done <- i }()
		sum += <-done
	}
	if sum != n*(n-1)/2 {
		panic("wrong sum")
	}
	return each(begun, n)
}

func yield(n int) float64 {
	yields := 4_000_000 / n
	var all sync.WaitGroup
	begun := time.Now()
	for range n {
		all.Add(1)
		go func() {
			defer all.Done()
			for range yields {
				runtime.Gosched()
			}
		}()
	}
	all.Wait()
	return each(begun, n*yields)
}

// The median of the whole time from the call to its return.
func sleep(duration time.Duration, times int) float64 {
	samples := make([]float64, times)
	for i := range samples {
		begun := time.Now()
		time.Sleep(duration)
		samples[i] = float64(time.Since(begun).Nanoseconds())
	}
	sort.Float64s(samples)
	return samples[times/2]
}

// Resident pages and page tables, in bytes.
func held() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	total := 0
	for _, line := range strings.Split(string(status), "\n") {
		var kib int
		for _, field := range []string{"VmRSS:", "VmPTE:"} {
			if rest, ok := strings.CutPrefix(line, field); ok {
				fmt.Sscan(rest, &kib)
				total += kib * 1024
			}
		}
	}
	return total
}

// A million goroutines, each on a channel of its own; once, in a fresh process.
func memory() {
	const n = 1_000_000
	var reached atomic.Int64
	waitFor := func(count int64) {
		for reached.Load() < count {
			runtime.Gosched()
		}
	}
	before := held()
	begun := time.Now()
	wake := make([]chan struct{}, n)
	for i := range wake {
		mine := make(chan struct{})
		wake[i] = mine
		go func() {
			for range 2 {
				reached.Add(1)
				<-mine
			}
			reached.Add(1)
		}()
	}
	waitFor(n)
	fmt.Printf("memory create + park\t%.1f\n", each(begun, n))
	fmt.Printf("memory held\t%d\n", (held()-before)/n)
	for _, what := range []string{"wake + park", "wake + exit"} {
		target := reached.Load() + n
		begun = time.Now()
		for _, one := range wake {
			one <- struct{}{}
		}
		waitFor(target)
		fmt.Printf("memory %s\t%.1f\n", what, each(begun, n))
	}
}
