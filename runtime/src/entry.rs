//! Job: what the macros expand to: the main goroutine, test goroutines, `go!` with options, the arms
//!   of `select!`.
//! Layer: L4 (API)
//! Not here: parsing (`gusty-macros`). Nothing in this module is for users to call by name.

use std::io::Write;
use std::num::ParseIntError;
use std::panic::Location;
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use crate::builder::Builder;
use crate::config;
use crate::runtime;
use crate::stack::SizeClass;
use crate::sys::section;
use crate::task::{JoinHandle, Settings, start};

pub use gusty_macros::select_arms;

/// Options of `#[gusty::main]`.
#[derive(Debug)]
pub struct MainOptions {
    /// Number of Ps, unless `GOMAXPROCS` says otherwise.
    pub procs: Option<usize>,
    /// Default stack size in bytes, unless `GUSTY_STACK_SIZE` says otherwise.
    pub stack_size: Option<usize>,
}

/// The main goroutine's stack: what the main thread of a process has, too.
const MAIN_STACK: usize = 8 << 20;

/// Runs `f` as the main goroutine while the main thread waits; what `main` returns is what `f`
/// returned. If `f` panics the process ends with status 101, as when `main` panics.
pub fn run_main<T>(options: MainOptions, f: impl FnOnce() -> T) -> T {
    config::set_main_defaults(options.procs, options.stack_size);
    let class = SizeClass::for_size(MAIN_STACK).expect("a valid size");
    let settings = Settings { name: Some("main".into()), class: Some(class), flags: 0 };
    let handle = start(f, settings, Location::caller());
    match handle.map(JoinHandle::join) {
        Ok(Ok(value)) => value,
        Ok(Err(_)) => std::process::exit(101),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "gusty: cannot start: {error}");
            std::process::exit(1);
        }
    }
}

/// How long a `#[gusty::test]` may run before its watchdog dumps all goroutines and aborts.
static TEST_TIMEOUT: LazyLock<Duration> = LazyLock::new(|| {
    let secs = config::read("GUSTY_TEST_TIMEOUT", |text| {
        text.parse().map_err(|error: ParseIntError| error.to_string())
    });
    Duration::from_secs(secs.unwrap_or(120))
});

/// Runs a test as a goroutine under a watchdog: after `GUSTY_TEST_TIMEOUT` seconds (120) the
/// process prints every goroutine and aborts, because a hang is what tests of this kind fail by.
pub fn run_test<T>(name: &str, f: impl FnOnce() -> T) -> T {
    let (done, watch) = mpsc::channel::<()>();
    let limit = *TEST_TIMEOUT;
    let label = name.to_owned();
    let watchdog = std::thread::spawn(move || {
        if watch.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            let mut err = std::io::stderr().lock();
            let _ = writeln!(err, "test {label} hangs after {limit:?}; goroutines:");
            let _ = err.write_all(runtime::dump().as_bytes());
            std::process::abort();
        }
    });
    let settings = Settings { name: Some(name.to_owned()), ..Settings::default() };
    let handle = start(f, settings, Location::caller());
    let result = handle.expect("a goroutine for the test").join();
    drop(done);
    let _ = watchdog.join();
    match result {
        Ok(value) => value,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// `go!` with options.
///
/// # Panics
/// Where [`Builder::spawn`] returns an error.
#[track_caller]
pub fn go_with<F, T>(builder: Builder, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match builder.spawn(f) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot spawn a goroutine: {error}"),
    }
}

/// In how many runtime sections the caller is; all of the runtime's locks are held in sections only.
/// For tests that look at what is done in them. Two instructions, from anywhere: also from signal
/// handlers, threads that the runtime knows nothing of, and before it has started.
#[inline]
pub fn section_depth() -> usize {
    section::depth()
}
