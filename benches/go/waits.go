// Choosing, closing, reading, timing: what `suite/select.rs`, `close.rs`, `rwlock.rs` and `timers.rs`
// measure.
package main

import (
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Unbuffered channels, each with a sender that counts to share.
func counting(many, share int) []chan int {
	all := make([]chan int, many)
	for i := range all {
		values := make(chan int)
		all[i] = values
		go func() {
			for i := range share {
				values <- i
			}
		}()
	}
	return all
}

func selectTwo() []float64 {
	const many, share = 2, 500_000
	rx := counting(many, share)
	a, b := rx[0], rx[1]
	sum := 0
	begun := time.Now()
	for range many * share {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		}
	}
	if sum != many*(share*(share-1)/2) {
		panic("wrong sum")
	}
	return []float64{each(begun, many*share)}
}

func selectEight() []float64 {
	const many, share = 8, 100_000
	rx := counting(many, share)
	sum := 0
	begun := time.Now()
	for range many * share {
		select {
		case v := <-rx[0]:
			sum += v
		case v := <-rx[1]:
			sum += v
		case v := <-rx[2]:
			sum += v
		case v := <-rx[3]:
			sum += v
		case v := <-rx[4]:
			sum += v
		case v := <-rx[5]:
			sum += v
		case v := <-rx[6]:
			sum += v
		case v := <-rx[7]:
			sum += v
		}
	}
	if sum != many*(share*(share-1)/2) {
		panic("wrong sum")
	}
	return []float64{each(begun, many*share)}
}

// The call, and the time until the last has seen it.
func closing() []float64 {
	const n = 200_000
	values := make(chan struct{})
	var reached atomic.Int64
	for range n {
		go func() {
			reached.Add(1)
			if _, ok := <-values; ok {
				panic("nothing is sent")
			}
			reached.Add(1)
		}()
	}
	waitFor := func(count int64) {
		for reached.Load() < count {
			runtime.Gosched()
		}
	}
	waitFor(n)
	time.Sleep(20 * time.Millisecond)
	begun := time.Now()
	close(values)
	call := each(begun, n)
	waitFor(2 * n)
	return []float64{call, each(begun, n)}
}

// The time for a read with one reader and with two, and their ratio.
func readers(length, n int) []float64 {
	numbers := make([]int, length)
	for i := range numbers {
		numbers[i] = 1
	}
	var lock sync.RWMutex
	among := func(count int) float64 {
		var all sync.WaitGroup
		begun := time.Now()
		for range count {
			all.Add(1)
			go func() {
				defer all.Done()
				for range n / count {
					sum := 0
					lock.RLock()
					for _, v := range numbers {
						sum += v
					}
					lock.RUnlock()
					if sum != length {
						panic("wrong sum")
					}
				}
			}()
		}
		all.Wait()
		return each(begun, n)
	}
	one, two := among(1), among(2)
	return []float64{one, two, one / two}
}

// The i-th of n durations between 0 and limit, all different, in no order.
func scattered(i, n int, limit time.Duration) time.Duration {
	return time.Duration(i*48_271%n) * limit / time.Duration(n)
}

func arm() []float64 {
	const n = 100_000
	timers := make([]*time.Timer, n)
	for i := range timers {
		timers[i] = time.AfterFunc(time.Hour, func() { panic("too early") })
		timers[i].Stop()
	}
	begun := time.Now()
	for i, timer := range timers {
		timer.Reset(time.Second + scattered(i, n, 99*time.Second))
	}
	armed := each(begun, n)
	begun = time.Now()
	for _, timer := range timers {
		if !timer.Stop() {
			panic("too late")
		}
	}
	return []float64{armed, each(begun, n)}
}

func late() []float64 {
	const n, ahead = 100_000, 300 * time.Millisecond
	lateness := make([]float64, n)
	var reported atomic.Int64
	begun := time.Now()
	for i := range n {
		due := begun.Add(ahead + time.Millisecond + scattered(i, n, 99*time.Millisecond))
		time.AfterFunc(time.Until(due), func() {
			lateness[i] = float64(time.Since(due).Nanoseconds())
			reported.Add(1)
		})
	}
	for reported.Load() < n {
		time.Sleep(ahead)
	}
	sort.Float64s(lateness)
	return []float64{lateness[n/2], lateness[n*99/100]}
}
