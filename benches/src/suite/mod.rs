//! The benches, a file for each subject, and what they have in common.
//!
//! Building a [`Contender`](gusty_benches::harness::Contender) starts nothing: the conductor builds
//! them, too, for their names. Runtimes are started inside a repetition, before its clock starts.

mod chan;
mod close;
mod fork_join;
mod memory;
mod mutex;
mod own_tls;
mod park;
mod preempt;
mod ring;
mod rwlock;
mod select;
mod sieve;
mod skynet;
mod sleep;
mod spawn;
mod timers;
mod yielding;

use std::future::Future;

use gusty_benches::harness::Bench;

/// Every bench, in the order of the report.
pub(crate) fn all() -> Vec<Bench> {
    let groups = [
        spawn::benches(),
        yielding::benches(),
        park::benches(),
        chan::benches(),
        select::benches(),
        close::benches(),
        mutex::benches(),
        rwlock::benches(),
        fork_join::benches(),
        skynet::benches(),
        ring::benches(),
        sieve::benches(),
        sleep::benches(),
        timers::benches(),
        preempt::benches(),
        memory::benches(),
        own_tls::benches(),
    ];
    groups.into_iter().flatten().collect()
}

/// Runs `f` on a goroutine while this thread waits.
fn on_goroutine<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    gusty::spawn(f).join().expect("the measured goroutine panicked")
}

/// Runs `main` as a task of tokio, with as many threads as gusty has Ps in this process: the
/// current-thread runtime for one, which is its fastest.
fn on_tokio<T: Send + 'static>(main: impl Future<Output = T> + Send + 'static) -> T {
    let mut builder = match procs() {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(procs()).enable_all().build().expect("tokio starts");
    // A task of its own: the future of `block_on` is polled by other rules than tasks are.
    runtime.block_on(async { tokio::spawn(main).await.expect("the measured task panicked") })
}

/// Runs `main` as a coroutine of may, with as many threads as gusty has Ps in this process.
fn on_may<T: Send + 'static>(main: impl FnOnce() -> T + Send + 'static) -> T {
    may::config().set_workers(procs());
    may::go!(main).join().expect("the measured coroutine panicked")
}

/// GOMAXPROCS of this process.
fn procs() -> usize {
    std::env::var("GOMAXPROCS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
