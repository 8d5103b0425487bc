//! Job: tells whether anybody allocates or frees in a runtime section, or on the watchdog's thread, and
//!   where.
//! Not here: what is looked at (the other files).
//!
//! malloc and its kin are replaced: they look where they are called, by Rust or by libc itself.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use gusty::__private::section_depth;
use gusty::runtime;

use crate::common::Child;

/// Frames of a finding.
const FRAMES: usize = 24;
/// Findings that are kept; all are counted.
const KEPT: usize = 64;

static ARMED: AtomicBool = AtomicBool::new(false);
static FOUND: AtomicUsize = AtomicUsize::new(0);
static WATCHDOG: AtomicI32 = AtomicI32::new(0);
static TRACES: [[AtomicUsize; FRAMES]; KEPT] =
    [const { [const { AtomicUsize::new(0) }; FRAMES] }; KEPT];

std::thread_local! {
    /// Looking at the stack may allocate.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

#[inline]
fn look() {
    if !ARMED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: no preconditions.
    let on_watchdog = || unsafe { libc::gettid() } == WATCHDOG.load(Ordering::Relaxed);
    if (section_depth() != 0 || on_watchdog()) && !LOOKING.replace(true) {
        note();
        LOOKING.set(false);
    }
}

#[cold]
fn note() {
    let mut frames = [std::ptr::null_mut(); FRAMES];
    // SAFETY: room for as many as are asked for.
    let got = unsafe { libc::backtrace(frames.as_mut_ptr(), FRAMES as i32) };
    let index = FOUND.fetch_add(1, Ordering::Relaxed);
    if let Some(trace) = TRACES.get(index) {
        let got = usize::try_from(got).unwrap_or(0);
        let frames = frames.iter().take(got).map(|at| at.addr());
        trace.iter().zip(frames).for_each(|(to, at)| to.store(at, Ordering::Relaxed));
    }
}

/// Takes the place of libc's functions, for std and for libc itself.
macro_rules! watched {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty = $call:expr;)*) => {$(
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            look();
            // SAFETY: as the caller promises.
            unsafe { $call }
        }
    )*};
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(at: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
    fn __libc_free(at: *mut c_void);
}

watched! {
    malloc(size: usize) -> *mut c_void = __libc_malloc(size);
    calloc(count: usize, size: usize) -> *mut c_void = __libc_calloc(count, size);
    realloc(at: *mut c_void, size: usize) -> *mut c_void = __libc_realloc(at, size);
    aligned_alloc(align: usize, size: usize) -> *mut c_void = __libc_memalign(align, size);
    posix_memalign(to: *mut *mut c_void, align: usize, size: usize) -> c_int = {
        *to = __libc_memalign(align, size);
        if (*to).is_null() { libc::ENOMEM } else { 0 }
    };
    free(at: *mut c_void) -> () = __libc_free(at);
}

/// What was found, by the names of functions if there is an `addr2line`.
fn findings() -> String {
    let base = base_of_program();
    let mut text = String::new();
    for (i, trace) in TRACES.iter().enumerate().take(FOUND.load(Ordering::Relaxed)) {
        let frames = trace.iter().map(|at| at.load(Ordering::Relaxed)).filter(|at| *at > base);
        let offsets: Vec<_> = frames.map(|at| format!("{:#x}", at - base - 1)).collect();
        let exe = std::env::current_exe().expect("this test");
        let named = std::process::Command::new("addr2line")
            .args(["-fiCse", &exe.display().to_string()])
            .args(&offsets)
            .output();
        let _ = writeln!(text, "finding {i}: {}", offsets.join(" "));
        text +=
            &named.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    }
    text
}

/// Where this program is mapped.
fn base_of_program() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    let first = maps.split('-').next().expect("a first mapping");
    usize::from_str_radix(first, 16).expect("a number")
}

fn watchdog() -> i32 {
    let named = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "gusty-sysmon\n")
    };
    // It blocks signals once std has started it, which allocates.
    let at_work = |task: &std::fs::DirEntry| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"));
        let blocked = blocked.and_then(|mask| u64::from_str_radix(mask, 16).ok());
        blocked.is_some_and(|mask| mask & 1 << (libc::SIGUSR1 - 1) != 0)
    };
    // It takes its name itself, so it may have none yet.
    loop {
        let mut tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
        if let Some(task) = tasks.find(|task| named(task) && at_work(task)) {
            break task.file_name().to_str().and_then(|tid| tid.parse().ok()).expect("a number");
        }
        gusty::yield_now();
    }
}

/// Runs `drive` in a process of its own, on a plain thread; nothing must be found.
#[track_caller]
pub(crate) fn clean(test: &'static str, drive: impl FnOnce()) {
    let ended = Child::of(test).env("GUSTY_THREAD_IDLE_MS", 20).run(|| {
        gusty::spawn(|| ()).join().unwrap();
        if runtime::features().tls == runtime::TlsLevel::Pthread {
            return; // each new stack takes a thread of libc's, which allocates
        }
        WATCHDOG.store(watchdog(), Ordering::Relaxed);
        LOOKING.set(true);
        note(); // what looking at a stack allocates at the first time
        LOOKING.set(false);
        FOUND.store(0, Ordering::Relaxed);
        ARMED.store(true, Ordering::Relaxed);
        drive();
        ARMED.store(false, Ordering::Relaxed);
        let found = FOUND.load(Ordering::Relaxed);
        assert_eq!(found, 0, "allocations in sections:\n{}", findings());
    });
    ended.succeeded();
}

#[test]
fn the_detector_detects() {
    let ended = Child::of("detector::the_detector_detects").run(|| {
        gusty::spawn(|| ()).join().unwrap();
        ARMED.store(true, Ordering::Relaxed);
        drop(black_box(vec![1]));
        assert_eq!(FOUND.load(Ordering::Relaxed), 0);
        WATCHDOG.store(
            // SAFETY: no preconditions.
            unsafe { libc::gettid() },
            Ordering::Relaxed,
        );
        drop(black_box(vec![1]));
        assert_eq!(FOUND.load(Ordering::Relaxed), 2, "an allocation and a free");
        ARMED.store(false, Ordering::Relaxed);
    });
    ended.succeeded();
}
