//! Job: goroutines that compute where they cannot leave their threads (in a library, without
//!   thread-locals of their own) do not keep others from running, and do not take a thread each.
//! Not here: those that are stopped in place (`preempt`).

mod common;

use std::ffi::{CStr, c_int, c_void};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Child, alone, scaled};
use gusty::runtime::{TlsLevel, features, gomaxprocs, metrics, num_threads};
use gusty::{Builder, go, spawn};

const PROCS: [usize; 3] = [1, 2, 8];

/// Computes in libc, as good as only.
fn fills() {
    let mut block = vec![0u8; 1 << 20];
    for byte in 0..20 {
        // SAFETY: a buffer of that size.
        unsafe { libc::memset(block.as_mut_ptr().cast(), byte, block.len()) };
        black_box(&block);
    }
}

fn sorts(n: usize, compare: unsafe extern "C" fn(*const c_void, *const c_void) -> c_int) {
    let mut words: Vec<[u8; 8]> = (0..n as u32)
        .map(|i| (u64::from(i.wrapping_mul(2_654_435_761)) | 1 << 56).to_le_bytes())
        .collect();
    words.iter_mut().for_each(|word| word[7] = 0);
    // SAFETY: so many elements of that size, and functions that compare two.
    unsafe { libc::qsort(words.as_mut_ptr().cast(), n, 8, Some(compare)) };
    black_box(words);
}

/// A comparison of the program's own, called by libc.
fn sorts_by_own_code() {
    unsafe extern "C" fn compare(a: *const c_void, b: *const c_void) -> c_int {
        // SAFETY: elements of the array.
        let [a, b] = [a, b].map(|word| unsafe { word.cast::<u64>().read() });
        (0..20).for_each(|i| _ = black_box(i));
        a.cmp(&b) as c_int
    }
    sorts(scaled(30_000), compare);
}

/// Nothing but libc, for some ten milliseconds.
fn sorts_by_libc() {
    // SAFETY: the name of a function with a signature that is as good as this one.
    let compare = unsafe {
        let symbol = libc::dlsym(libc::RTLD_DEFAULT, c"strcmp".as_ptr());
        std::mem::transmute::<
            *mut c_void,
            unsafe extern "C" fn(*const c_void, *const c_void) -> c_int,
        >(symbol)
    };
    sorts(scaled(150_000), compare);
}

/// One long call that allocates, too.
fn matches() {
    let text = format!("{}\0", "ab".repeat(scaled(1_000)));
    let text = CStr::from_bytes_with_nul(text.as_bytes()).unwrap();
    // SAFETY: zeroes are overwritten by `regcomp`; freed once.
    unsafe {
        let mut pattern: libc::regex_t = std::mem::zeroed();
        let source = c"(a|ab)(c|bcd)*(d*)x";
        assert_eq!(libc::regcomp(&raw mut pattern, source.as_ptr(), libc::REG_EXTENDED), 0);
        let no = libc::regexec(&raw const pattern, text.as_ptr(), 0, std::ptr::null_mut(), 0);
        assert_eq!(no, libc::REG_NOMATCH);
        libc::regfree(&raw mut pattern);
    }
}

fn loops() {
    for i in 0..20_000u64 {
        black_box(i);
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Light,
    Pinned,
    Locked,
}

fn start(kind: Kind, f: impl FnOnce() + Send + 'static) {
    match kind {
        Kind::Plain => drop(spawn(f)),
        // SAFETY: what these tests run touches no thread-local over a call of the runtime.
        Kind::Light => drop(unsafe { Builder::new().light() }.spawn(f).unwrap()),
        Kind::Pinned => drop(Builder::new().pinned().spawn(f).unwrap()),
        Kind::Locked => drop(spawn(|| {
            gusty::lock_os_thread();
            f();
            gusty::unlock_os_thread();
        })),
    }
}

/// More goroutines than Ps compute without end; others still run.
fn others_run(kind: Kind, work: fn(), procs: &[usize]) {
    for &procs in procs {
        let before = gomaxprocs(procs);
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..=procs {
            let (stop, ended) = (stop.clone(), ended.clone());
            start(kind, move || {
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        for _ in 0..5 {
            if features().tls == TlsLevel::Pinned {
                // One that parks may stay on the thread of one that computes.
                spawn(|| ()).join().unwrap();
            } else {
                spawn(|| gusty::sleep(Duration::from_millis(1))).join().unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
        while ended.load(Ordering::Relaxed) != procs + 1 {
            std::thread::sleep(Duration::from_micros(100));
        }
        gomaxprocs(before);
    }
}

const WORK: [(&str, fn()); 6] = [
    ("fills", fills),
    ("loops", loops),
    ("sorts by own code", sorts_by_own_code),
    ("sorts by libc", sorts_by_libc),
    ("matches", matches),
    ("formats", || {
        (0..2_000).for_each(|i| _ = black_box(format!("{i} {:?}", Some(i))));
    }),
];

fn all_kinds(works: &[(&str, fn())]) {
    for (i, (name, work)) in works.iter().enumerate() {
        eprintln!("{name}");
        let procs = if i == 0 { &PROCS[..] } else { &PROCS[..2] };
        [Kind::Plain, Kind::Light].into_iter().for_each(|kind| others_run(kind, *work, procs));
    }
}

#[test]
fn others_run_beside_code_that_cannot_be_left() {
    if !common::once() {
        return;
    }
    let _alone = alone();
    common::watched("others run", || {
        for kind in [Kind::Pinned, Kind::Locked] {
            others_run(kind, fills, &PROCS);
            others_run(kind, loops, &PROCS);
        }
        let before = metrics().stops;
        all_kinds(&WORK);
        assert!(metrics().stops > before, "nobody was stopped with its thread");
    });
}

fn others_run_in_child(test: &'static str, settings: &[(&'static str, &str)]) {
    let _alone = alone();
    let mut child = Child::of(test).env("GUSTY_SLICE_US", "200");
    for &(name, value) in settings {
        child = child.env(name, value);
    }
    child.run(|| all_kinds(&WORK[..3])).succeeded();
}

#[test]
fn the_same_where_thread_locals_are_shared() {
    if !common::once() {
        return;
    }
    others_run_in_child("the_same_where_thread_locals_are_shared", &[("GUSTY_TLS", "shared")]);
}

#[test]
fn the_same_where_goroutines_stay() {
    if !common::once() {
        return;
    }
    others_run_in_child("the_same_where_goroutines_stay", &[("GUSTY_TLS", "pinned")]);
}

#[test]
fn the_same_in_blocks_of_libc() {
    if !common::once() {
        return;
    }
    others_run_in_child("the_same_in_blocks_of_libc", &[("GUSTY_TLS", "pthread")]);
}

#[test]
fn the_same_by_timers() {
    if !common::once() {
        return;
    }
    others_run_in_child("the_same_by_timers", &[("GUSTY_KICK", "timer")]);
}

#[test]
fn the_same_by_plain_signals() {
    if !common::once() {
        return;
    }
    others_run_in_child("the_same_by_plain_signals", &[("GUSTY_KICK", "tgkill")]);
}

#[test]
fn the_same_without_kicks() {
    if !common::once() {
        return;
    }
    others_run_in_child("the_same_without_kicks", &[("GUSTY_KICK", "off")]);
}

#[test]
fn the_same_with_short_slices() {
    if !common::once() {
        return;
    }
    others_run_in_child("the_same_with_short_slices", &[("GUSTY_SLICE_US", "100")]);
}

/// Runs `n` goroutines that do `work` until each has done it once, and returns the most threads that
/// there were.
fn crowd(n: usize, work: fn()) -> usize {
    let begun = Arc::new((0..n).map(|_| AtomicBool::new(false)).collect::<Vec<_>>());
    let stop = Arc::new(AtomicBool::new(false));
    let left = Arc::new(AtomicUsize::new(n));
    for i in 0..n {
        let (begun, stop, left) = (begun.clone(), stop.clone(), left.clone());
        go!(move || {
            while !stop.load(Ordering::Relaxed) {
                work();
                begun[i].store(true, Ordering::Relaxed);
            }
            left.fetch_sub(1, Ordering::Relaxed);
        });
    }
    // A plain thread, which nobody stops.
    let mut most = 0;
    while !begun.iter().all(|begun| begun.load(Ordering::Relaxed)) {
        most = most.max(num_threads());
        std::thread::sleep(Duration::from_micros(500));
    }
    stop.store(true, Ordering::Relaxed);
    while left.load(Ordering::Relaxed) != 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    most
}

#[test]
fn a_thousand_in_libc_take_few_threads() {
    if !common::once() {
        return;
    }
    let _alone = alone();
    let child = Child::of("a_thousand_in_libc_take_few_threads").env("GUSTY_SLICE_US", "200");
    let ended = child.run(|| {
        for procs in PROCS {
            gomaxprocs(procs);
            let fill = || {
                let mut block = [0u8; 4096];
                for byte in 0..10 {
                    // SAFETY: a buffer of that size.
                    unsafe { libc::memset(block.as_mut_ptr().cast(), byte, block.len()) };
                    black_box(&block);
                }
            };
            let most = crowd(if procs == 8 { scaled(1_000).max(100) } else { 50 }, fill);
            let bound = procs + (4 * procs).max(16) + 4;
            eprintln!("{most} threads of at most {bound} for {procs} Ps");
            assert!(most <= bound, "{most} threads of at most {bound}");
        }
    });
    ended.succeeded();
}

#[test]
fn the_number_of_threads_that_are_stopped_is_a_setting() {
    if !common::once() {
        return;
    }
    let name = "the_number_of_threads_that_are_stopped_is_a_setting";
    let _alone = alone();
    let child = Child::of(name).env("GUSTY_SLICE_US", "500").env("GUSTY_MAX_STOPPED", "1");
    let ended = child.run(|| {
        for procs in PROCS {
            gomaxprocs(procs);
            let most = crowd(20, fills);
            assert!(most <= procs + 1 + 4, "{most} threads for {procs} Ps");
        }
    });
    ended.succeeded();
}

#[test]
fn ten_thousand_in_plain_code_take_no_more_threads_than_ps() {
    if !common::once() {
        return;
    }
    let _alone = alone();
    let child = Child::of("ten_thousand_in_plain_code_take_no_more_threads_than_ps")
        .env("GUSTY_SLICE_US", "200");
    let ended = child.run(|| {
        for procs in PROCS {
            gomaxprocs(procs);
            let most = crowd(if procs == 8 { scaled(10_000) } else { 1_000 }, loops);
            assert!(most <= procs + 4, "{most} threads for {procs} Ps");
        }
    });
    ended.succeeded();
}

/// All use one arena, so whoever is stopped inside it stops all others there.
#[test]
fn the_allocators_lock_is_given_back() {
    if !common::once() {
        return;
    }
    let _alone = alone();
    let child = Child::of("the_allocators_lock_is_given_back")
        .env("GUSTY_SLICE_US", "100")
        .env("MALLOC_ARENA_MAX", "1")
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
    let ended = child.run(|| {
        for procs in PROCS {
            gomaxprocs(procs);
            let workers: Vec<_> = (0..4 * procs)
                .map(|i| {
                    spawn(move || {
                        let mut kept: Vec<Vec<u8>> = (0..64).map(|_| Vec::new()).collect();
                        for round in 0..scaled(2_000_000) / procs {
                            let size = 16 + (round * 37 + i * 101) % 4096;
                            kept[round % 64] = black_box(vec![i as u8; size]);
                        }
                        assert!(kept.iter().flatten().all(|&byte| byte == i as u8));
                    })
                })
                .collect();
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        }
        eprintln!("{:?}", metrics());
    });
    ended.succeeded();
}
