//! Job: noticing that nothing can ever run again, and saying so.
//! Layer: L2 (sched)
//! Not here: when to look (`monitor`: whenever everything has been idle for a while).
//! Invariants
//!   DL1  It is reported only if it is certain: every scheduler thread is on the idle list, nothing is
//!        queued, no timer runs, nobody waits for a descriptor, and every other thread of the process
//!        is one of ours or sleeps in a call of ours without a deadline. A thread that the runtime
//!        knows nothing of may wake somebody some day, so it keeps this from ever being said; so does
//!        a goroutine that holds its thread (locked, or blocked in a system call).
//!   DL2  All of it was true at one moment. Nobody is stopped for that: the idle lists are looked at
//!        before and after, and no P was taken in between (`Idle::starts`); no thread fell asleep in
//!        between either (`foreign::sleeps`). Who ran in between would have been started by somebody
//!        who ran, and the first of those was counted.
//! Source: Go's checkdead, for the message and the exit status 2.

use std::io::Write;

use super::dump;
use super::foreign;
use super::g::{GKind, GStatus};
use super::global::{Idle, SCHED};
use super::gslab;
use super::{poll, starved, threads, timers};
use crate::sys::clock::NEVER;

/// Threads of ours without an M: the watchdog and the spawner.
const SERVANTS: usize = 2;

/// Whether another look may come to another result without a P having run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// Somebody can still be woken, by something that will wake the watchdog, too.
    Alive,
    /// Not certain yet: threads may be about to end, or the poller to be left.
    Unclear,
    /// Nothing will ever run.
    Dead,
}

/// How everything is idle; `None` if something is not.
fn all_idle() -> Option<Idle> {
    let idle = SCHED.lock().idle();
    let asleep = idle.ps == SCHED.procs() as usize
        && SCHED.injector().is_empty()
        && timers::earliest() == NEVER
        && !poll::has_waiters()
        && !starved::any();
    asleep.then_some(idle)
}

/// Looks once (DL1, DL2). Allocates nothing.
pub(super) fn look() -> Look {
    let Some(idle) = all_idle() else { return Look::Alive };
    if poll::is_manned() {
        poll::break_now(); // for nothing: that thread can sleep like the others
        return Look::Unclear;
    }
    if idle.ms != threads::live() as usize {
        return Look::Unclear;
    }
    let sleeps = foreign::sleeps();
    let (mut goroutines, mut sleepers) = (0, 0);
    gslab::for_each(|g| match (g.kind(), g.status()) {
        (GKind::Goroutine, GStatus::Waiting) => goroutines += 1,
        (GKind::Thread, GStatus::Waiting) if g.note.is_slept_on() => sleepers += 1,
        _ => {}
    });
    let others = idle.ms + SERVANTS + sleepers;
    let dead = goroutines + sleepers != 0
        && sleepers == foreign::sleepers()
        && threads_of_process() == Some(others)
        && sleeps == foreign::sleeps()
        && all_idle() == Some(idle);
    if dead { Look::Dead } else { Look::Unclear }
}

/// Reports and ends the process.
#[cold]
pub(super) fn report() -> ! {
    let mut text = String::from("fatal error: all goroutines are asleep - deadlock!\n\n");
    // Nobody runs, so nobody frees a name meanwhile.
    dump::goroutines(&mut text, true);
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(2);
}

/// How many threads this process has. The word before the twentieth of `/proc/self/stat`, counted
/// from behind the name.
fn threads_of_process() -> Option<usize> {
    let mut text = [0u8; 512];
    // SAFETY: a terminated path; room for as many bytes as are asked for; closed once.
    let got = unsafe {
        let fd = libc::open(c"/proc/self/stat".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let got = libc::read(fd, text.as_mut_ptr().cast(), text.len());
        libc::close(fd);
        got
    };
    threads_in_stat(text.get(..usize::try_from(got).ok()?)?)
}

fn threads_in_stat(stat: &[u8]) -> Option<usize> {
    const THREADS: usize = 17; // after the name, from 0
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(THREADS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_by_the_kernel() {
        let stat = b"12 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 77 0 0";
        assert_eq!(threads_in_stat(stat), Some(77));
        assert_eq!(threads_in_stat(b"nonsense"), None);
        let listed = || std::fs::read_dir("/proc/self/task").unwrap().count();
        // Other tests start and end threads: until the list is the same before and after.
        let counted = loop {
            let (before, counted, after) = (listed(), threads_of_process(), listed());
            if before == after && counted == Some(before) {
                break counted;
            }
        };
        assert!(counted.is_some_and(|n| n >= 1));
    }
}
