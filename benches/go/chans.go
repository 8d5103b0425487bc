// Channels and locks: what `suite/chan.rs`, `mutex.rs`, `skynet.rs`, `ring.rs` and `sieve.rs`
// measure.
package main

import (
	"sync"
	"time"
)

func pingPong() float64 {
	const n = 1_000_000
	ping, pong := make(chan int), make(chan int)
	go func() {
		for i := range ping {
			pong <- i + 1
		}
	}()
	begun := time.Now()
	for i := range n {
		ping <- i
		if <-pong != i+1 {
			panic("wrong answer")
		}
	}
	took := each(begun, n)
	close(ping)
	return took
}

func stream() float64 {
	const n = 3_000_000
	values := make(chan int, 128)
	go func() {
		for i := range n {
			values <- i
		}
		close(values)
	}()
	sum := 0
	begun := time.Now()
	for i := range values {
		sum += i
	}
	if sum != n*(n-1)/2 {
		panic("wrong sum")
	}
	return each(begun, n)
}

func many() float64 {
	const senders, share = 8, 200_000
	values, sums := make(chan int, 128), make(chan int, senders)
	var sending sync.WaitGroup
	begun := time.Now()
	for range senders {
		sending.Add(1)
		go func() {
			defer sending.Done()
			for i := range share {
				values <- i
			}
		}()
		go func() {
			sum := 0
			for i := range values {
				sum += i
			}
			sums <- sum
		}()
	}
	sending.Wait()
	close(values)
	sum := 0
	for range senders {
		sum += <-sums
	}
	if sum != senders*(share*(share-1)/2) {
		panic("wrong sum")
	}
	return each(begun, senders*share)
}

func mutexFree() float64 {
	const n = 10_000_000
	var lock sync.Mutex
	count := 0
	begun := time.Now()
	for range n {
		lock.Lock()
		count++
		lock.Unlock()
	}
	if count != n {
		panic("wrong count")
	}
	return each(begun, n)
}

func mutexContended() float64 {
	const many, share = 8, 200_000
	var lock sync.Mutex
	var all sync.WaitGroup
	count := 0
	begun := time.Now()
	for range many {
		all.Add(1)
		go func() {
			defer all.Done()
			for range share {
				lock.Lock()
				count++
				lock.Unlock()
			}
		}()
	}
	all.Wait()
	if count != many*share {
		panic("wrong count")
	}
	return each(begun, many*share)
}

func node(parent chan<- int, first, size int) {
	if size == 1 {
		parent <- first
		return
	}
	sums := make(chan int, 10)
	for child := range 10 {
		go node(sums, first+child*(size/10), size/10)
	}
	sum := 0
	for range 10 {
		sum += <-sums
	}
	parent <- sum
}

func skynet() float64 {
	const leaves = 1_000_000
	begun := time.Now()
	root := make(chan int, 1)
	go node(root, 0, leaves)
	if <-root != leaves*(leaves-1)/2 {
		panic("wrong sum")
	}
	return each(begun, 1)
}

func ring() float64 {
	const size, rounds = 1000, 1000
	first := make(chan int)
	last := first
	for range size - 1 {
		from, to := last, make(chan int)
		go func() {
			for n := range from {
				to <- n + 1
			}
			close(to)
		}()
		last = to
	}
	token := 0
	begun := time.Now()
	for range rounds {
		first <- token
		token = <-last + 1
	}
	if token != size*rounds {
		panic("wrong token")
	}
	took := each(begun, size*rounds)
	close(first)
	return took
}

// As everybody writes it: without a way to stop the chain, which stays blocked when main has seen
// enough. The Rust sieve's chain collapses.
func sieve() float64 {
	const count, last = 2000, 17389
	numbers := make(chan int)
	begun := time.Now()
	go func() {
		for n := 2; ; n++ {
			numbers <- n
		}
	}()
	prime, from := 0, numbers
	for range count {
		prime = <-from
		in, to, factor := from, make(chan int), prime
		go func() {
			for n := range in {
				if n%factor != 0 {
					to <- n
				}
			}
		}()
		from = to
	}
	if prime != last {
		panic("wrong prime")
	}
	return each(begun, 1)
}
