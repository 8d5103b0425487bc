//! Job: stacks against the real kernel: guards that fault, reuse, trim, limits.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::class::{GUARD_BYTES, PAGE, SizeClass};
use super::error::StackError;
use super::guard::{Guards, Span};
use super::kind::GuardKind;
use super::pool::{BATCH, ClassPool, LOCAL};
use super::registry::{Hit, Table};
use super::{Furnisher, LocalCache, Stack, find, furnish_with, slab, trim};

fn class(kib: usize) -> SizeClass {
    SizeClass::for_size(kib << 10).unwrap()
}

fn write_byte(addr: usize) {
    let byte: *mut u8 = std::ptr::with_exposed_provenance_mut(addr);
    // SAFETY: an address of a slab that only this test uses, or one that is meant to fault.
    unsafe { byte.write_volatile(1) };
}

/// The signal that ends a forked child which writes a byte at `addr`; 0 if it survives.
fn signal_of_touch(addr: usize) -> i32 {
    // SAFETY: the child makes async-signal-safe calls only.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
            write_byte(addr);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 }
    }
}

/// Every stack of the span faults in its guard and nowhere else.
fn assert_guarded(span: Span, signal: i32) {
    for base in (span.base..span.end()).step_by(span.class.stride()) {
        let (limit, top) = (base + GUARD_BYTES, base + span.class.stride());
        assert_eq!(signal_of_touch(base), signal);
        assert_eq!(signal_of_touch(limit - 1), signal);
        assert_eq!(signal_of_touch(limit), 0);
        write_byte(limit);
        write_byte(top - 1);
    }
    assert_eq!(signal_of_touch(span.base), signal, "a touch beside it removed a guard");
}

fn pages_in_memory(stack: Stack) -> usize {
    let mut present = vec![0u8; stack.class().usable() / PAGE];
    let start = std::ptr::with_exposed_provenance_mut(stack.limit());
    // SAFETY: the vector has a byte for every page of the range.
    let result = unsafe { libc::mincore(start, stack.class().usable(), present.as_mut_ptr()) };
    assert_eq!(result, 0);
    present.iter().filter(|&&byte| byte & 1 == 1).count()
}

#[test]
fn each_kind_of_guard_faults_or_is_a_named_error() {
    let kinds = [
        (GuardKind::Madvise, libc::SIGSEGV),
        (GuardKind::Uffd, libc::SIGBUS),
        (GuardKind::Mprotect, libc::SIGSEGV),
    ];
    for (kind, signal) in kinds {
        match slab::create_with(&mut Guards::new(kind), class(64), 3) {
            Ok(span) => assert_guarded(span, signal),
            // Kernels and containers may lack the first two.
            Err(error) => {
                assert!(matches!(error, StackError::Guard { kind: named, .. } if named == kind));
                assert!(kind != GuardKind::Mprotect);
                assert!(error.to_string().contains(&kind.to_string()), "{error}");
            }
        }
    }
}

#[test]
fn the_best_guard_is_found_by_stepping_down() {
    let mut guards = Guards::new(GuardKind::Auto);
    assert!(guards.step_down() && guards.step_down());
    assert_eq!(guards.rung(), GuardKind::Mprotect);
    assert!(!guards.step_down());
    let span = slab::create_with(&mut guards, class(64), 2).unwrap();
    assert_guarded(span, libc::SIGSEGV);
    assert!(!Guards::new(GuardKind::Madvise).step_down());
}

#[test]
fn mprotect_stops_at_its_budget() {
    let mut guards = Guards::with_max_map_count(GuardKind::Mprotect, 2 * (4096 + 5));
    let span = slab::create_with(&mut guards, class(64), 3).unwrap();
    assert_eq!(span.count, 3);
    assert_eq!(slab::create_with(&mut guards, class(64), 16).unwrap().count, 2);
    let error = slab::create_with(&mut guards, class(64), 16).unwrap_err();
    assert_eq!(error, StackError::GuardBudget { stacks: 5, max_map_count: 8202 });
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
}

#[test]
fn errors_name_their_limits() {
    let mmap = StackError::Mmap { errno: libc::ENOMEM, bytes: 1 << 20 }.to_string();
    for limit in ["1048576", "RLIMIT_AS", "vm.max_map_count", "vm.overcommit_memory"] {
        assert!(mmap.contains(limit), "{mmap}");
    }
    let guard = StackError::Guard { kind: GuardKind::Mprotect, errno: libc::ENOMEM }.to_string();
    assert!(guard.contains("vm.max_map_count"), "{guard}");
    assert!(StackError::Slabs { limit: 7 }.to_string().contains("all 7 slabs"));
}

#[test]
fn find_knows_the_boundaries() {
    let span = slab::create_with(&mut Guards::new(GuardKind::Auto), class(128), 2).unwrap();
    let class = span.class;
    let second = span.base + class.stride();
    for base in [span.base, second] {
        let hit = |in_guard| Some(Hit { stack_base: base, class, in_guard });
        let limit = base + GUARD_BYTES;
        assert_eq!(find(base), hit(true));
        assert_eq!(find(limit - 1), hit(true));
        assert_eq!(find(limit), hit(false));
        assert_eq!(find(base + class.stride() - 1), hit(false));
    }
    // A neighbour in memory may be another slab, but not this one.
    for outside in [span.base - 1, span.end()] {
        assert!(find(outside).is_none_or(|hit| ![span.base, second].contains(&hit.stack_base)));
    }
    assert_eq!(find(0), None);
    assert_eq!(find(usize::MAX), None);
}

#[test]
fn a_full_table_is_an_error_and_keeps_its_entries() {
    let table = Table::<2>::new();
    let span = |base| Span { base, class: class(1024), count: 1 };
    table.publish(span(1 << 30)).unwrap();
    table.publish(span(1 << 31)).unwrap();
    assert_eq!(table.publish(span(1 << 32)), Err(StackError::Slabs { limit: 2 }));
    assert_eq!(table.find(1 << 31).map(|hit| hit.class), Some(class(1024)));
    assert_eq!(table.find(1 << 32), None);
}

#[test]
fn a_stack_is_one_word() {
    let mut cache = LocalCache::new(class(64));
    for kib in [64, 32 << 10] {
        let stack = cache.take(class(kib)).unwrap();
        assert_eq!(Stack::from_bits(stack.to_bits()), Some(stack));
        assert_eq!(stack.class(), class(kib));
        assert_eq!(stack.top() % PAGE, 0);
        assert_eq!(stack.top() - stack.limit(), class(kib).usable());
        assert!(find(stack.limit() - 1).unwrap().in_guard);
        // SAFETY: it was taken above and is not used.
        unsafe { cache.put(stack) };
    }
    assert_eq!(Stack::from_bits(0), None);
}

/// Runs the rest of the test of this name in a process of its own: true there. Pools are shared by
/// a process, and limits cannot be lifted again.
fn alone(test: &str) -> bool {
    const TEST: &str = "GUSTY_TEST_ALONE";
    if std::env::var(TEST).is_ok_and(|name| name == test) {
        return true;
    }
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", &name]).env(TEST, test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn the_last_stack_put_is_the_next_taken() {
    if !alone("the_last_stack_put_is_the_next_taken") {
        return;
    }
    let class = class(4 << 10);
    let mut cache = LocalCache::new(class);
    let stacks: Vec<_> = (0..10).map(|_| cache.take(class).unwrap()).collect();
    // SAFETY: all were taken above and are not used.
    stacks.iter().for_each(|&stack| unsafe { cache.put(stack) });
    let again: Vec<_> = (0..10).map(|_| cache.take(class).unwrap()).collect();
    assert!(stacks.iter().rev().eq(&again));
}

#[test]
fn a_full_cache_shares_its_older_half() {
    if !alone("a_full_cache_shares_its_older_half") {
        return;
    }
    let class = class(2 << 10);
    let pool = ClassPool::of(class);
    let mut cache = LocalCache::new(class);
    let stacks: Vec<_> = (0..=LOCAL).map(|_| cache.take(class).unwrap()).collect();
    // SAFETY: all were taken above and are not used.
    stacks[..LOCAL].iter().for_each(|&stack| unsafe { cache.put(stack) });
    assert_eq!(pool.lens(), (0, 0));
    // SAFETY: as above.
    unsafe { cache.put(stacks[LOCAL]) };
    assert_eq!(pool.lens(), (BATCH, 0));

    // Another P takes what was shared, the one used last first, and a batch at a time.
    let mut other = LocalCache::new(class);
    assert_eq!(other.take(class), Ok(stacks[BATCH - 1]));
    assert_eq!(pool.lens(), (0, 0));
    assert_eq!(other.take(class), Ok(stacks[BATCH - 2]));

    // A class that is not the cache's own goes straight to the common list.
    let mut foreign = LocalCache::new(self::class(64));
    for &stack in &stacks[BATCH - 2..BATCH] {
        // SAFETY: taken by `other` and not used.
        unsafe { foreign.put(stack) };
    }
    assert_eq!(pool.lens(), (2, 0));
    assert_eq!(foreign.take(class), Ok(stacks[BATCH - 1]));

    cache.drain();
    drop(other);
    // SAFETY: taken by `foreign` and not used.
    unsafe { foreign.put(stacks[BATCH - 1]) };
    assert_eq!(pool.lens(), (LOCAL + 1, 0));
    let mut all: Vec<_> = (0..=LOCAL).map(|_| cache.take(class).unwrap()).collect();
    all.sort_by_key(|stack| stack.top());
    all.dedup();
    assert_eq!(all.len(), LOCAL + 1, "a stack was handed out twice");
}

#[test]
fn trim_frees_memory_and_keeps_guards() {
    if !alone("trim_frees_memory_and_keeps_guards") {
        return;
    }
    let class = class(512);
    let pool = ClassPool::of(class);
    let mut cache = LocalCache::new(class);
    let stacks: Vec<_> = (0..8).map(|_| cache.take(class).unwrap()).collect();
    for &stack in &stacks {
        assert_eq!(pages_in_memory(stack), 0, "a fresh stack must cost nothing");
        write_byte(stack.top() - 1);
        write_byte(stack.limit());
        // SAFETY: taken above; this was its last use.
        unsafe { cache.put(stack) };
    }
    cache.drain();
    assert_eq!(trim(3), 5);
    assert_eq!(pool.lens(), (3, 5));
    for (index, &stack) in stacks.iter().enumerate() {
        assert_eq!(pages_in_memory(stack), if index < 5 { 0 } else { 2 });
        assert_ne!(signal_of_touch(stack.limit() - 1), 0);
    }
    assert_eq!(trim(3), 0);
    // The warm ones come first, then the cold ones, none of them anew.
    let again: Vec<_> = (0..8).map(|_| cache.take(class).unwrap()).collect();
    assert_eq!(again[..3], [stacks[7], stacks[6], stacks[5]]);
    assert!(again[3..].iter().all(|stack| stacks[..5].contains(stack)));
}

#[test]
fn a_furnisher_sees_every_stack_and_keeps_its_pages() {
    static FORBIDDEN: AtomicBool = AtomicBool::new(false);
    static MADE: AtomicUsize = AtomicUsize::new(0);
    unsafe fn furnish(top: usize, _: usize) -> Result<(), i32> {
        let mark = std::ptr::with_exposed_provenance_mut::<usize>(top - 4096 - 8);
        // SAFETY: a stack that only this test uses.
        unsafe {
            if *mark != 0 {
                return Ok(());
            }
            if FORBIDDEN.load(Ordering::Relaxed) {
                return Err(libc::EAGAIN);
            }
            *mark = top;
        }
        MADE.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    if !alone("a_furnisher_sees_every_stack_and_keeps_its_pages") {
        return;
    }
    let class = class(512);
    let pool = ClassPool::of(class);
    let mut cache = LocalCache::new(class);
    let early = cache.take(class).unwrap();
    furnish_with(Furnisher { furnish, bytes: PAGE + 1 });
    // SAFETY: taken above.
    unsafe { cache.put(early) };
    let stacks: Vec<_> = (0..8).map(|_| cache.take(class).unwrap()).collect();
    assert_eq!(MADE.load(Ordering::Relaxed), 8);
    FORBIDDEN.store(true, Ordering::Relaxed);
    let error = cache.take(class).unwrap_err();
    assert_eq!(error, StackError::Furnish { errno: libc::EAGAIN });
    assert!(error.to_string().contains("ulimit -u"), "{error}");
    for &stack in &stacks {
        write_byte(stack.limit());
        // SAFETY: taken above; this was its last use.
        unsafe { cache.put(stack) };
    }
    cache.drain();
    assert_eq!((trim(0), pool.lens()), (8, (0, 9)));
    assert!(stacks.iter().all(|&stack| pages_in_memory(stack) == 1));
    // Those that are furnished come before the one that is not.
    let again: Vec<_> = (0..8).map(|_| cache.take(class).unwrap()).collect();
    assert!(again.iter().all(|stack| stacks.contains(stack)));
    assert!(cache.take(class).is_err());
    FORBIDDEN.store(false, Ordering::Relaxed);
    assert!(cache.take(class).is_ok());
    assert_eq!(MADE.load(Ordering::Relaxed), 9);
}

#[test]
fn forty_thousand_stacks() {
    let mut guards = Guards::new(GuardKind::Madvise);
    let (mut stacks, mut want) = (0, 16);
    while stacks < 40_000 {
        match slab::create_with(&mut guards, class(64), want) {
            Ok(span) => {
                stacks += span.count;
                want = slab::next_count(span.class, want);
                assert!(find(span.end() - 1).is_some_and(|hit| !hit.in_guard));
                assert!(find(span.end() - span.class.stride()).is_some_and(|hit| hit.in_guard));
            }
            Err(StackError::Guard { errno: libc::EINVAL, .. }) => return, // before Linux 6.13
            Err(error) => panic!("after {stacks} stacks: {error}"),
        }
    }
}

#[test]
fn address_space_exhaustion_is_a_named_error() {
    if !alone("address_space_exhaustion_is_a_named_error") {
        return;
    }
    let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
    // SAFETY: a valid limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
    let mut guards = Guards::new(GuardKind::Auto);
    // Too much for one slab: a smaller one has to do.
    let span = slab::create_with(&mut guards, class(64 << 10), 64).unwrap();
    assert!((1..64).contains(&span.count));
    let error = loop {
        match slab::create_with(&mut guards, class(64 << 10), 4) {
            Ok(span) => assert!(span.count <= 4),
            Err(error) => break error,
        }
    };
    assert_eq!(error, StackError::Mmap { errno: libc::ENOMEM, bytes: 64 << 20 });
}

#[test]
fn guards_do_not_need_process_madvise() {
    if !alone("guards_do_not_need_process_madvise") {
        return;
    }
    forbid(libc::SYS_process_madvise);
    let mut guards = Guards::new(GuardKind::Auto);
    assert_guarded(slab::create_with(&mut guards, class(64), 3).unwrap(), {
        if guards.rung() == GuardKind::Uffd { libc::SIGBUS } else { libc::SIGSEGV }
    });
}

/// Makes a system call fail with EPERM on this thread from now on, as containers do.
fn forbid(syscall: libc::c_long) {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the number is first
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, syscall as u32),
        answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is valid and outlives the call, which copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}
