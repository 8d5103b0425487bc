//! Job: bugs that were found by review or by accident, each as the smallest program that shows it.

mod common;

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::{Child, scaled, until, watched};

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The exit of a goroutine with a polled handle makes a goroutine for the waker, on g0, where
/// nothing may wait for room.
#[test]
fn wakers_are_called_at_the_limit_on_goroutines() {
    let test = "wakers_are_called_at_the_limit_on_goroutines";
    let ended = Child::of(test).env("GUSTY_MAX_GOROUTINES", 8).run(|| {
        let go = Arc::new(AtomicBool::new(false));
        let wait = |go: Arc<AtomicBool>| move || until(|| go.load(Ordering::SeqCst));
        let mut polled = pin!(gusty::spawn(wait(go.clone())));
        let others: Vec<_> = (0..7).map(|_| gusty::spawn(wait(go.clone()))).collect();
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        assert!(polled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        go.store(true, Ordering::SeqCst);
        until(|| flag.0.load(Ordering::SeqCst));
        assert!(polled.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        others.into_iter().for_each(|other| other.join().unwrap());
    });
    ended.succeeded();
}

/// As many goroutines as the limit says do fit, however they are spread over free lists.
#[test]
fn a_small_limit_is_not_eaten_by_free_lists() {
    for procs in [1, 8] {
        let ended = Child::of("a_small_limit_is_not_eaten_by_free_lists")
            .env("GUSTY_MAX_GOROUTINES", 10)
            .env("GOMAXPROCS", procs)
            .run(|| {
                for _ in 0..50 {
                    let go = Arc::new(AtomicBool::new(false));
                    let all: Vec<_> = (0..10)
                        .map(|_| {
                            let go = go.clone();
                            gusty::spawn(move || until(|| go.load(Ordering::SeqCst)))
                        })
                        .collect();
                    go.store(true, Ordering::SeqCst);
                    all.into_iter().for_each(|one| one.join().unwrap());
                }
            });
        ended.succeeded();
    }
}

/// A stack that can never be had ends the process with its reason instead of hanging it.
#[test]
fn a_stack_that_nobody_can_give_back_is_fatal() {
    let ended = Child::of("a_stack_that_nobody_can_give_back_is_fatal").run(|| {
        let room = libc::rlimit { rlim_cur: 900 << 20, rlim_max: 900 << 20 };
        // SAFETY: a valid limit, for this child process only.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const room) }, 0);
        let _ = gusty::Builder::new().stack_size(1 << 30).spawn(|| ()).map(gusty::JoinHandle::join);
    });
    ended.killed_by(libc::SIGABRT).says(&["fatal error: no stack for goroutine", "RLIMIT_AS"]);
}

/// Joining after a poll waits like any other join: the waker that the poll left is taken out.
#[test]
fn join_after_poll_parks() {
    watched("join_after_poll_parks", || {
        let (tx, rx) = gusty::chan::bounded::<()>(0);
        let mut handle = gusty::spawn(move || rx.recv().is_err());
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        let pending = std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
        assert!(pending.is_pending());
        let joiner = gusty::spawn(move || handle.join().unwrap());
        let id = format!("goroutine {} [join]", joiner.goroutine().id());
        until(|| gusty::runtime::dump().contains(&id)); // a busy joiner would be runnable, too
        assert_eq!(Arc::strong_count(&flag), 2, "the handle's copy of the waker is gone");
        drop(tx);
        assert!(joiner.join().unwrap());
    });
}

/// A goroutine that yields in a loop does not keep the global queue waiting, whatever it does
/// between its yields.
#[test]
fn a_lone_yielder_lets_the_global_queue_run() {
    let ended =
        Child::of("a_lone_yielder_lets_the_global_queue_run").env("GOMAXPROCS", 1).run(|| {
            let ran = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = gusty::chan::bounded::<()>(0);
            for _ in 0..1_000 {
                let (ran, rx) = (ran.clone(), rx.clone());
                gusty::spawn(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                    let _ = rx.recv();
                });
            }
            let seen = ran.clone();
            let yields = gusty::spawn(move || {
                let mut yields = 0;
                while seen.load(Ordering::SeqCst) < 1_000 {
                    gusty::yield_now();
                    yields += 1;
                }
                yields
            });
            assert!(yields.join().unwrap() < 10_000);
            drop(tx);
        });
    ended.succeeded();
}

/// The poller exists from the start: running out of descriptors afterwards is an error of the call
/// that needs one, and timers go on.
#[test]
fn without_descriptors_goroutines_still_sleep() {
    let ended = Child::of("without_descriptors_goroutines_still_sleep").run(|| {
        gusty::spawn(|| ()).join().unwrap();
        let mut files = Vec::new();
        let few = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: a valid limit, for this child process only.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        gusty::spawn(|| gusty::sleep(Duration::from_millis(2))).join().unwrap();
        let error = gusty::spawn(|| gusty::net::TcpListener::bind("127.0.0.1:0")).join().unwrap();
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EMFILE));
        files.clear();
        gusty::spawn(|| gusty::net::TcpListener::bind("127.0.0.1:0").map(drop))
            .join()
            .unwrap()
            .unwrap();
    });
    ended.succeeded();
}

/// A server out of descriptors gets an error from `accept` and serves again when there are some.
#[test]
fn accept_survives_running_out_of_descriptors() {
    let ended = Child::of("accept_survives_running_out_of_descriptors").run(|| {
        gusty::spawn(|| {
            let listener = gusty::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let mut client = gusty::net::TcpStream::connect(addr).unwrap(); // in the backlog
            let mut files = Vec::new();
            let few = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
            // SAFETY: a valid limit, for this child process only.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            let error = listener.accept().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            files.clear();
            drop(listener.accept().unwrap());
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        })
        .join()
        .unwrap();
    });
    ended.succeeded();
}

#[test]
fn who_spawns_and_yields_does_not_outrun_its_goroutines() {
    let ended = Child::of("who_spawns_and_yields_does_not_outrun_its_goroutines")
        .env("GOMAXPROCS", 1)
        .run(|| {
            let spawner = gusty::spawn(|| {
                for _ in 0..scaled(2_000) {
                    for _ in 0..32 {
                        gusty::spawn(gusty::yield_now);
                    }
                    gusty::yield_now();
                    // What cannot have ended yet, and a few queues of what has not had its turn.
                    let alive = gusty::runtime::num_goroutine();
                    assert!(alive < 1_000, "{alive} goroutines pile up");
                }
            });
            spawner.join().unwrap();
        });
    ended.succeeded();
}

/// A deadline that is set while another M blocks in the poller, for long, is kept although the M that
/// set it goes on with a goroutine that computes. The poller is told of it.
#[test]
fn a_deadline_is_kept_beside_one_that_computes() {
    let test = "a_deadline_is_kept_beside_one_that_computes";
    let ended = Child::of(test).env("GOMAXPROCS", 1).run(|| {
        gusty::go!(|| gusty::sleep(Duration::from_secs(3_600)));
        for _ in 0..10 {
            idles_beside_the_poller();
            let [begun, queued, done] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
            let sleeper = {
                let (begun, queued, done) = (begun.clone(), queued.clone(), done.clone());
                gusty::spawn(move || {
                    begun.store(true, Ordering::SeqCst);
                    spins_until(&queued);
                    gusty::sleep(Duration::from_millis(2));
                    done.store(true, Ordering::SeqCst);
                })
            };
            spins_until(&begun);
            // From a plain thread: to the global queue, where the M of the sleeper finds it next.
            let computing = gusty::spawn(move || spins_until(&done));
            queued.store(true, Ordering::SeqCst);
            sleeper.join().unwrap();
            computing.join().unwrap();
        }
    });
    ended.succeeded();
}

/// Makes no call of the runtime.
fn spins_until(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        std::hint::spin_loop();
    }
}

/// Leaves an M that idles, beside the one that blocks in the poller: a P was taken from one that blocks
/// and given to the other.
fn idles_beside_the_poller() {
    let blocked = Arc::new(AtomicBool::new(false));
    let release = blocked.clone();
    let blocks = gusty::spawn(move || gusty::blocking(|| spins_until(&blocked)));
    gusty::spawn(move || release.store(true, Ordering::SeqCst)).join().unwrap();
    blocks.join().unwrap();
}
