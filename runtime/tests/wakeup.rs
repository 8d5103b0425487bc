//! Job: goroutines that compute keep neither the network nor the timers waiting: whom these wake goes
//!   first, and borrows a P if need be.
//! Not here: what it costs (`benches`), who computes for whose turn (`fairness`).
//!
//! Slices last for a second here: if all these wake-ups waited for the end of one, the tests would take
//! longer than their watchdog allows.

mod common;

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Child, scaled};
use gusty::net::{TcpListener, TcpStream};
use gusty::{JoinHandle, spawn};

/// Goroutines that count and never call the runtime, until told.
struct Spinners {
    stop: Arc<AtomicBool>,
    counts: Vec<Arc<AtomicU64>>,
    all: Vec<JoinHandle<()>>,
}

impl Spinners {
    /// As many as there are Ps, all running.
    fn on_each_p() -> Spinners {
        let stop = Arc::new(AtomicBool::new(false));
        let counts: Vec<_> =
            (0..gusty::runtime::gomaxprocs(0)).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let spinner = |count: &Arc<AtomicU64>| {
            let (count, stop) = (count.clone(), stop.clone());
            spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    black_box(count.fetch_add(1, Ordering::Relaxed));
                }
            })
        };
        let all = counts.iter().map(spinner).collect();
        let spinners = Spinners { stop, counts, all };
        spinners.go_on();
        spinners
    }

    /// Waits, on this plain thread, until each has counted on.
    fn go_on(&self) {
        for count in &self.counts {
            let before = count.load(Ordering::Relaxed);
            while count.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
        }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.all.into_iter().for_each(|spinner| spinner.join().unwrap());
    }
}

/// Runs the scenario in processes with various numbers of Ps whose slices last for a second.
fn long_slices(test: &'static str, scenario: fn()) {
    for procs in [1, 2, 4] {
        let child = Child::of(test).env("GOMAXPROCS", procs).env("GUSTY_SLICE_US", 1_000_000);
        child.run(scenario).succeeded();
    }
}

/// A server that echoes whatever its one client sends.
fn echo_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 64];
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..n]).unwrap();
        }
    });
    address
}

fn round_trips(address: std::net::SocketAddr, n: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    for i in 0..n {
        let sent = [i as u8; 32];
        stream.write_all(&sent).unwrap();
        let mut got = [0; 32];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got, sent);
    }
}

#[test]
fn an_echo_beside_endless_loops() {
    long_slices("an_echo_beside_endless_loops", || {
        let address = echo_server();
        let (begin, begun) = std::sync::mpsc::channel();
        let client = spawn(move || {
            // Goes on by a timer: nobody else would soon run it.
            while begun.try_recv().is_err() {
                gusty::sleep(Duration::from_micros(100));
            }
            round_trips(address, scaled(2_000));
        });
        let spinners = Spinners::on_each_p();
        begin.send(()).unwrap();
        client.join().unwrap();
        let metrics = gusty::runtime::metrics();
        assert!(metrics.loans > 0 && metrics.urgent > 0, "{metrics:?}");
        spinners.stop();
    });
}

#[test]
fn timers_beside_endless_loops() {
    long_slices("timers_beside_endless_loops", || {
        let (begin, begun) = std::sync::mpsc::channel();
        let sleepers = spawn(move || {
            while begun.try_recv().is_err() {
                gusty::sleep(Duration::from_micros(100));
            }
            for _ in 0..scaled(200) {
                gusty::sleep(Duration::from_micros(200));
            }
        });
        let spinners = Spinners::on_each_p();
        begin.send(()).unwrap();
        sleepers.join().unwrap();
        spinners.stop();
    });
}

/// Whom a woken goroutine wakes in its turn goes on as well.
#[test]
fn what_an_urgent_goroutine_wakes_is_urgent_too() {
    long_slices("what_an_urgent_goroutine_wakes_is_urgent_too", || {
        let (tx, rx) = gusty::chan::bounded::<usize>(0);
        let (back, last) = gusty::chan::bounded::<usize>(0);
        spawn(move || rx.iter().for_each(|i| back.send(i).unwrap()));
        let (begin, begun) = std::sync::mpsc::channel();
        let first = spawn(move || {
            while begun.try_recv().is_err() {
                gusty::sleep(Duration::from_micros(100));
            }
            for i in 0..scaled(200) {
                gusty::sleep(Duration::from_micros(200));
                tx.send(i).unwrap();
                assert_eq!(last.recv(), Ok(i));
                assert_eq!(spawn(move || i + 1).join().unwrap(), i + 1);
            }
        });
        let spinners = Spinners::on_each_p();
        begin.send(()).unwrap();
        first.join().unwrap();
        spinners.stop();
    });
}

/// The budget: while an echo runs as fast as it can, those that compute go on.
#[test]
fn loops_go_on_beside_a_storm_of_wake_ups() {
    long_slices("loops_go_on_beside_a_storm_of_wake_ups", || {
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (address, stop) = (echo_server(), stop.clone());
                spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let mut trips = 0;
                    while !stop.load(Ordering::Relaxed) {
                        stream.write_all(&[7; 32]).unwrap();
                        stream.read_exact(&mut [0; 32]).unwrap();
                        trips += 1;
                    }
                    trips
                })
            })
            .collect();
        let spinners = Spinners::on_each_p();
        (0..30).for_each(|_| spinners.go_on());
        stop.store(true, Ordering::Relaxed);
        let trips: Vec<u32> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(trips.iter().all(|&trips| trips > 0), "{trips:?}");
        spinners.stop();
    });
}

#[test]
fn nobody_is_disturbed_while_nobody_waits() {
    long_slices("nobody_is_disturbed_while_nobody_waits", || {
        let spinners = Spinners::on_each_p();
        (0..20).for_each(|_| spinners.go_on());
        let metrics = gusty::runtime::metrics();
        assert_eq!((metrics.kicks, metrics.retakes, metrics.preemptions), (0, 0, 0), "{metrics:?}");
        spinners.stop();
    });
}
