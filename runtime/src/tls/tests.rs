//! Job: blocks under a scheduler of thirty lines.
//! Layer: L0 (machine)
//!
//! Contexts on blocks of their own, moved between threads by a scheduler of thirty lines.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::arch::{self, Exit};
use crate::stack::{LocalCache, SizeClass, Stack};

const THREADS: usize = 3;

/// A goroutine in miniature.
struct Task {
    stack: Stack,
    block: Block,
    /// Saved context, 0 before the first run.
    sp: Cell<usize>,
    home: Cell<usize>,
    last_thread: Cell<usize>,
    done: Cell<bool>,
    run: Cell<Option<Box<dyn FnOnce() + Send>>>,
}

// SAFETY: a task is used by one thread at a time: it is in the queue or being run.
unsafe impl Send for Task {}

fn start_up() {
    fn no_stacks(_: &mut dyn FnMut(usize)) {}
    let at_most = match crate::config::settings().tls {
        Level::Pinned | Level::Shared => Level::Own,
        level => level,
    };
    let outcome = init(Options { at_most, surplus: Surplus::Eat, each_stack: no_stacks });
    assert_eq!(outcome.level, at_most, "{}", outcome.reason);
    assert!(outcome.shares_malloc);
}

fn class() -> SizeClass {
    SizeClass::for_size(256 << 10).unwrap()
}

fn task(stacks: &mut LocalCache, run: impl FnOnce() + Send + 'static) -> Box<Task> {
    task_on(stacks.take(class()).unwrap(), run)
}

fn task_on(stack: Stack, run: impl FnOnce() + Send + 'static) -> Box<Task> {
    // SAFETY: a stack that nobody uses; its upper end was only ever used for a block.
    let block = unsafe { bind(stack.top(), stack.limit()) };
    Box::new(Task {
        stack,
        block,
        sp: Cell::new(0),
        home: Cell::new(0),
        last_thread: Cell::new(usize::MAX),
        done: Cell::new(false),
        run: Cell::new(Some(Box::new(run))),
    })
}

fn current() -> &'static Task {
    assert!(on_goroutine());
    // SAFETY: `resume` stored the task that runs, which outlives its run.
    unsafe { &*std::ptr::with_exposed_provenance::<Task>(get::<SCHED>()) }
}

/// Lets another task run; returns on another thread.
#[inline(never)]
fn park() {
    let task = current();
    // SAFETY: `resume` saved its context right before (SW1).
    unsafe { arch::switch(task.sp.as_ptr(), task.home.get(), 0, 0) };
}

unsafe extern "C" fn body(task: usize) -> Exit {
    // SAFETY: `resume` passes the task.
    let task = unsafe { &*std::ptr::with_exposed_provenance::<Task>(task) };
    let run = task.run.take().unwrap();
    let result = std::panic::catch_unwind(AssertUnwindSafe(run));
    // SAFETY: the last thing on this block.
    unsafe { run_destructors() };
    assert!(result.is_ok());
    task.done.set(true);
    Exit { to: task.home.get(), msg: 0 }
}

#[inline(never)]
fn resume(task: &Task, host: &Host) {
    let word = std::ptr::from_ref(task).expose_provenance();
    // SAFETY: the task came from the queue, so nobody runs on its block (SW1, BL2).
    unsafe {
        prepare(task.block, host, word);
        set_fs(task.block.fs());
        match task.sp.get() {
            0 => arch::start(task.home.as_ptr(), task.block.stack_top(), word, body, 0),
            sp => arch::switch(task.home.as_ptr(), sp, 0, 0),
        };
        set_fs(host.fs());
    }
}

/// Runs the tasks on [`THREADS`] threads, each time on another one, and gives their stacks back.
#[allow(clippy::vec_box, reason = "the block's word holds the task's address")]
fn run_all(stacks: &mut LocalCache, tasks: Vec<Box<Task>>) {
    let left = AtomicUsize::new(tasks.len());
    let queue = Mutex::new(VecDeque::from(tasks));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for id in 0..THREADS {
            let (left, queue, done) = (&left, &queue, &done);
            scope.spawn(move || {
                let host = Host::here();
                while left.load(Ordering::Acquire) > 0 {
                    let mut waiting = queue.lock().unwrap();
                    let only = waiting.len() < THREADS && left.load(Ordering::Relaxed) < THREADS;
                    let found =
                        waiting.iter().position(|task| only || task.last_thread.get() != id);
                    let task = found.and_then(|at| waiting.remove(at));
                    drop(waiting);
                    let Some(task) = task else {
                        std::thread::yield_now();
                        continue;
                    };
                    task.last_thread.set(id);
                    resume(&task, &host);
                    if task.done.get() {
                        // SAFETY: the task has left its block for good.
                        unsafe { reset(task.block) };
                        done.lock().unwrap().push(task);
                        left.fetch_sub(1, Ordering::Release); // the loop's condition
                    } else {
                        queue.lock().unwrap().push_back(task);
                    }
                }
            });
        }
    });
    for task in done.into_inner().unwrap() {
        // SAFETY: taken by `task`, not used any more.
        unsafe { stacks.put(task.stack) };
    }
}

#[test]
fn state_of_a_thread_stays_with_the_task() {
    std::thread_local! {
        static NUMBERS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
        static HELD: RefCell<usize> = const { RefCell::new(0) };
    }
    static IDS: Mutex<Vec<std::thread::ThreadId>> = Mutex::new(Vec::new());
    start_up();
    let mut stacks = LocalCache::new(class());
    let tasks = (0..60).map(|i| {
        task(&mut stacks, move || {
            let id = std::thread::current().id();
            HELD.with_borrow_mut(|held| {
                for k in 0..40 {
                    NUMBERS.with_borrow_mut(|numbers| numbers.push(i * k));
                    *held += 1;
                    let error = if k % 2 == 0 { libc::EBADF } else { libc::ENOENT };
                    host::set_errno(error);
                    park();
                    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(error));
                }
                assert_eq!(*held, 40);
            });
            NUMBERS
                .with_borrow(|numbers| assert!(numbers.iter().copied().eq((0..40).map(|k| i * k))));
            assert_eq!(std::thread::current().id(), id);
            IDS.lock().unwrap().push(id);
        })
    });
    let tasks = tasks.collect();
    run_all(&mut stacks, tasks);
    let ids = IDS.lock().unwrap();
    assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (60, 60));
}

#[test]
fn a_panic_is_counted_where_it_is() {
    struct ParksInDrop;
    impl Drop for ParksInDrop {
        fn drop(&mut self) {
            (0..5).for_each(|_| park());
            assert!(std::thread::panicking());
        }
    }
    start_up();
    let mut stacks = LocalCache::new(class());
    let tasks = (0..30).map(|i| {
        task(&mut stacks, move || {
            for _ in 0..5 {
                if i % 2 == 0 {
                    let result = std::panic::catch_unwind(|| {
                        let _first = ParksInDrop;
                        std::panic::resume_unwind(Box::new(i));
                    });
                    assert_eq!(*result.unwrap_err().downcast::<i32>().unwrap(), i);
                }
                park();
                assert!(!std::thread::panicking());
            }
        })
    });
    let tasks = tasks.collect();
    run_all(&mut stacks, tasks);
}

#[test]
fn reused_blocks_are_as_new() {
    #[repr(align(1024))]
    struct Aligned(Cell<u8>);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    std::thread_local! {
        static PLAIN: Cell<u32> = const { Cell::new(9) };
        static COUNTED: Counted = const { Counted };
        static ALIGNED: Aligned = const { Aligned(Cell::new(5)) };
    }
    start_up();
    let mut stacks = LocalCache::new(class());
    for _ in 0..100 {
        let tasks = (0..20).map(|_| {
            task(&mut stacks, || {
                COUNTED.with(|_| ());
                assert_eq!(PLAIN.replace(1), 9);
                ALIGNED.with(|aligned| {
                    assert_eq!(std::ptr::from_ref(aligned).addr() % 1024, 0);
                    assert_eq!(aligned.0.replace(6), 5);
                });
                assert_eq!(host::errno(), 0);
                host::set_errno(1);
                park();
                assert_eq!(PLAIN.get(), 1);
            })
        });
        let tasks = tasks.collect();
        run_all(&mut stacks, tasks);
    }
    assert_eq!(DROPPED.load(Ordering::Relaxed), 2000);
}

#[test]
fn thread_specific_data_is_destroyed_and_cleared() {
    const KEYS: usize = 40; // more than glibc keeps in the control block
    static KEY: Mutex<Vec<libc::pthread_key_t>> = Mutex::new(Vec::new());
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn destroy(value: *mut std::ffi::c_void) {
        DESTROYED.fetch_add(value.addr(), Ordering::Relaxed);
    }
    start_up();
    for i in 0..KEYS {
        let mut key = 0;
        let dtor = (i % 2 == 0).then_some(destroy as keys::KeyDtor);
        // SAFETY: valid arguments.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, dtor) }, 0);
        KEY.lock().unwrap().push(key);
    }
    let mut stacks = LocalCache::new(class());
    for _ in 0..3 {
        let tasks = (0..10).map(|_| {
            task(&mut stacks, || {
                let keys = KEY.lock().unwrap().clone();
                for key in keys {
                    // SAFETY: a key made above.
                    unsafe {
                        assert!(libc::pthread_getspecific(key).is_null());
                        let one = std::ptr::without_provenance(1);
                        assert_eq!(libc::pthread_setspecific(key, one), 0);
                    }
                    park();
                    // SAFETY: a key made above.
                    assert_eq!(unsafe { libc::pthread_getspecific(key) }.addr(), 1);
                }
            })
        });
        let tasks = tasks.collect();
        run_all(&mut stacks, tasks);
    }
    assert_eq!(DESTROYED.load(Ordering::Relaxed), 3 * 10 * KEYS / 2);
}

#[test]
fn calls_on_the_own_handle_answer() {
    start_up();
    let mut stacks = LocalCache::new(class());
    let first = task(&mut stacks, || {
        let (limit, top) = (current().stack.limit(), current().stack.top());
        park();
        // SAFETY: valid arguments throughout; the attributes are initialised by the first call.
        unsafe {
            let me = libc::pthread_self();
            assert_eq!(me as usize, fs());
            let mut attributes = std::mem::zeroed();
            assert_eq!(libc::pthread_getattr_np(me, &raw mut attributes), 0);
            let (mut base, mut size) = (std::ptr::null_mut(), 0);
            libc::pthread_attr_getstack(&raw const attributes, &raw mut base, &raw mut size);
            assert_eq!((base.addr(), size), (limit, top - limit));
            let mut cpus: libc::cpu_set_t = std::mem::zeroed();
            let bytes = size_of_val(&cpus);
            assert_eq!(libc::pthread_getaffinity_np(me, bytes, &raw mut cpus), 0);
            assert!(libc::CPU_COUNT(&cpus) > 0);
            assert_eq!(libc::pthread_kill(me, 0), 0);
        }
    });
    run_all(&mut stacks, vec![first]);
}

#[test]
fn group_ids_change_while_tasks_run() {
    start_up();
    let mut stacks = LocalCache::new(class());
    let tasks = (0..12).map(|_| {
        task(&mut stacks, || {
            for _ in 0..5 {
                // SAFETY: to what it is already: allowed to everybody.
                assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0);
                park();
            }
        })
    });
    let tasks = tasks.collect();
    run_all(&mut stacks, tasks);
}

#[test]
fn a_block_whose_pages_are_gone_is_made_again() {
    start_up();
    if level() != Level::Own {
        return; // these pages are kept: see the next test
    }
    let mut stacks = LocalCache::new(class());
    let used = task(&mut stacks, || host::set_errno(3));
    let (stack, block) = (used.stack, used.block);
    run_all(&mut stacks, vec![used]);
    let usable = stack.top() - stack.limit();
    let limit = std::ptr::with_exposed_provenance_mut(stack.limit());
    // SAFETY: a stack that nobody uses, which this test's cache will hand out next.
    assert_eq!(unsafe { libc::madvise(limit, usable, libc::MADV_DONTNEED) }, 0);
    let again = task(&mut stacks, || drop(std::thread::current()));
    assert_eq!(again.block, block);
    run_all(&mut stacks, vec![again]);
}

#[test]
fn trimmed_stacks_serve_again() {
    // A class that no other test uses.
    let class = SizeClass::for_size(2 << 20).unwrap();
    start_up();
    let mut stacks = LocalCache::new(class);
    let mut fs = Vec::new();
    for _ in 0..3 {
        let tasks = (0..4).map(|_| {
            task_on(stacks.take(class).unwrap(), || {
                drop(std::thread::current());
                park();
            })
        });
        let tasks: Vec<_> = tasks.collect();
        fs.extend(tasks.iter().map(|task| task.block.fs()));
        run_all(&mut stacks, tasks);
        stacks.drain();
        crate::stack::trim(0);
    }
    assert_eq!(fs.into_iter().collect::<HashSet<_>>().len(), 4);
}
