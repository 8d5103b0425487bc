//! Job: goroutines that compute and block in turns, kicked every millisecond: how many of their calls
//!   break. None, but for the kind of kick that is documented to.
//! Not here: kicks without a scheduler (`sys::kick`).
//!
//! Every kind of kick prints a line with what it did. `GUSTY_HAMMER_MS` says for how long each
//! combination is hammered (50 ms).

mod common;
mod slices;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gusty::runtime::metrics;
use gusty::spawn;
use slices::{Spinners, sliced_by};

const BURNS_US: [u64; 3] = [20, 300, 3_000];
const BLOCK: usize = 64 << 10;

/// What was called, and how often it failed or did half of what it should.
#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    failed: AtomicU64,
    short: AtomicU64,
}

fn how_long() -> Duration {
    let ms = std::env::var("GUSTY_HAMMER_MS").ok().and_then(|ms| ms.parse().ok());
    Duration::from_millis(ms.unwrap_or(50))
}

fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// One of four calls; what it returned, and what it should have.
fn call(number: u64, pipe: &OwnedFd, block: &[u8]) -> (i64, i64) {
    let nap = libc::timespec { tv_sec: 0, tv_nsec: 300_000 };
    let word = 0u32;
    // SAFETY: valid times, words and buffers; no descriptors for poll.
    unsafe {
        match number % 4 {
            0 => (i64::from(libc::nanosleep(&raw const nap, std::ptr::null_mut())), 0),
            1 => (i64::from(libc::poll(std::ptr::null_mut(), 0, 1)), 0),
            2 => {
                let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
                let result =
                    libc::syscall(libc::SYS_futex, &raw const word, wait, 0, &raw const nap);
                let in_time = result == -1 && *libc::__errno_location() == libc::ETIMEDOUT;
                (if in_time { 0 } else { -1 }, 0)
            }
            _ => (
                libc::write(pipe.as_raw_fd(), block.as_ptr().cast(), block.len()) as i64,
                block.len() as i64,
            ),
        }
    }
}

/// The writing end of a pipe that a thread reads from, slowly enough for writers to wait.
fn drained_pipe() -> (OwnedFd, std::thread::JoinHandle<()>) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which are owned from here on.
    let [from, to] = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        ends.map(|fd| OwnedFd::from_raw_fd(fd))
    };
    let drain = move || {
        let mut buffer = vec![0u8; BLOCK / 4];
        // SAFETY: a buffer of that size.
        while unsafe { libc::read(from.as_raw_fd(), buffer.as_mut_ptr().cast(), BLOCK / 4) } > 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
    };
    (to, std::thread::spawn(drain))
}

fn hammered(burn_us: u64, tally: &Tally) {
    let (pipe, drain) = drained_pipe();
    let block = vec![7; BLOCK];
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < how_long() {
        burn(Duration::from_micros(burn_us));
        let (got, wanted) = call(number, &pipe, &block);
        tally.calls.fetch_add(1, Ordering::Relaxed);
        if got < 0 {
            tally.failed.fetch_add(1, Ordering::Relaxed);
        } else if got != wanted {
            tally.short.fetch_add(1, Ordering::Relaxed);
        }
        number += 1;
    }
    drop(pipe);
    drain.join().unwrap();
}

/// Several of them and some that only compute, so that all slices are used up.
fn hammer(kick: &str) {
    let before = metrics().preemptions;
    let spinners = Spinners::new(2);
    let tally = Arc::new(Tally::default());
    for burn_us in BURNS_US {
        let begin = |_| {
            let tally = tally.clone();
            spawn(move || hammered(burn_us, &tally))
        };
        let hammers: Vec<_> = (0..3).map(begin).collect();
        hammers.into_iter().for_each(|one| one.join().unwrap());
    }
    drop(spinners);
    let [calls, failed, short] =
        [&tally.calls, &tally.failed, &tally.short].map(|count| count.load(Ordering::Relaxed));
    let preemptions = metrics().preemptions - before;
    println!(); // after what the harness has begun to print
    println!(
        "hammer: {kick}: {calls} calls, {failed} failed, {short} short; {preemptions} preemptions"
    );
    assert!(calls >= 9 && preemptions > 0);
    assert!(kick == "tgkill" || failed + short == 0);
}

#[test]
fn calls_that_block_are_not_broken_by_preemption() {
    if !common::once() {
        return;
    }
    // In a child: which of them it is.
    let mine = std::env::var("GUSTY_KICK");
    for kick in ["perf", "timer", "tgkill"] {
        if mine.as_ref().is_ok_and(|mine| mine != kick) {
            continue;
        }
        let test = "calls_that_block_are_not_broken_by_preemption";
        for ended in sliced_by(test, &[1, 2], 1_000, kick, || hammer(kick)) {
            let line = ended.stdout.lines().find(|line| line.starts_with("hammer: "));
            println!("{}", line.unwrap_or("hammer: nothing is stopped here"));
        }
    }
}
