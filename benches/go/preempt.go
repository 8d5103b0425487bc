// Beside goroutines that compute: what `suite/preempt.rs` measures.
package main

import (
	"io"
	"net"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

const hogs = 8

// Goroutines that count units of work until stopped; the second result waits for them.
func hog() (counts []atomic.Int64, stop func()) {
	counts = make([]atomic.Int64, hogs)
	var over atomic.Bool
	var all sync.WaitGroup
	for i := range counts {
		all.Add(1)
		go func() {
			defer all.Done()
			x := uint64(1)
			for !over.Load() {
				for range 1_000 {
					x = x*3 ^ 1
				}
				counts[i].Add(1)
			}
			sink.Store(x)
		}()
	}
	return counts, func() {
		over.Store(true)
		all.Wait()
	}
}

var sink atomic.Uint64

func percentiles(times []float64) []float64 {
	sort.Float64s(times)
	return []float64{times[len(times)/2], times[len(times)*99/100]}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func echoBesideHogs() []float64 {
	const trips = 30 // a trip takes up to 200 ms
	_, stop := hog()
	defer stop()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	go func() {
		server, err := listener.Accept()
		must(err)
		io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{server})
	}()
	client, err := net.Dial("tcp", listener.Addr().String())
	must(err)
	defer client.Close()
	bytes := make([]byte, 64)
	var times []float64
	for range trips {
		begun := time.Now()
		_, err = client.Write(bytes)
		must(err)
		_, err = io.ReadFull(client, bytes)
		must(err)
		times = append(times, each(begun, 1))
	}
	return percentiles(times)
}

func sleepBesideHogs() []float64 {
	_, stop := hog()
	defer stop()
	var times []float64
	for range 100 {
		begun := time.Now()
		time.Sleep(time.Millisecond)
		times = append(times, each(begun, 1)-float64(time.Millisecond))
	}
	return percentiles(times)
}

func sharesOfHogs() []float64 {
	const warm, long = 250 * time.Millisecond, 5 * time.Second
	counts, stop := hog()
	defer stop()
	time.Sleep(warm)
	read := func() []float64 {
		all := make([]float64, hogs)
		for i := range counts {
			all[i] = float64(counts[i].Load())
		}
		return all
	}
	before, begun := read(), time.Now()
	time.Sleep(long)
	done, took := read(), time.Since(begun)
	total := 0.0
	for i := range done {
		done[i] -= before[i]
		total += done[i]
	}
	sort.Float64s(done)
	unit := float64(took.Nanoseconds()) / total
	return []float64{done[0] * hogs / total, done[hogs-1] * hogs / total, unit}
}
