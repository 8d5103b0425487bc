//! Job: nobody allocates or frees in a runtime section, or on the watchdog's thread: the allocator's
//!   lock may be held by a goroutine that was stopped and waits for the very P that would be kept.
//! Not here: that programs survive being stopped in their allocator (`gusty-compat`).
//!
//! malloc and its kin are replaced: they look where they are called, by Rust or by libc itself. Each test drives a part of the API,
//! tables grow past their first size, and the last line of each is that nothing was found.

mod common;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::future::Future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::{Child, scaled, until};
use gusty::__private::section_depth;
use gusty::{chan, context, net, runtime, sync};

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
fn clean(test: &'static str, drive: impl FnOnce()) {
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

/// Runs `f` as a goroutine.
fn on_goroutine<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    gusty::spawn(f).join().unwrap()
}

/// Runs `count` goroutines and waits for all.
fn many(count: usize, f: impl Fn(usize) + Send + Sync + 'static) {
    let f = Arc::new(f);
    let all: Vec<_> = (0..count)
        .map(|i| {
            let f = f.clone();
            gusty::spawn(move || f(i))
        })
        .collect();
    all.into_iter().for_each(|handle| handle.join().unwrap());
}

/// Waits for a number, letting others run.
fn reaches(counter: &AtomicUsize, number: usize) {
    until(|| counter.load(Ordering::Relaxed) >= number);
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

fn one_more() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn the_detector_detects() {
    let ended = Child::of("the_detector_detects").run(|| {
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

#[test]
fn goroutines_of_all_kinds() {
    clean("goroutines_of_all_kinds", || {
        for size in [16 << 10, 64 << 10, 200 << 10, 1 << 20] {
            many(scaled(2_000), move |i| {
                let builder = gusty::Builder::new().name(format!("g{i}")).stack_size(size);
                let handle = builder.spawn(move || black_box([i; 40])).unwrap();
                match i % 4 {
                    0 => drop(handle),
                    1 => assert_eq!(handle.join().unwrap()[7], i),
                    2 => assert_eq!(handle.goroutine().name(), Some(&*format!("g{i}"))),
                    _ => {
                        let big = black_box(vec![i; 100]);
                        let boxed = gusty::spawn(move || (big, [i; 30]));
                        until(|| boxed.is_finished());
                        drop(boxed);
                    }
                }
            });
        }
        many(scaled(2_000), |_| {
            let outer = gusty::Builder::new().name("short");
            drop(outer.spawn(gusty::yield_now).unwrap());
            let handle = gusty::spawn(|| Box::new(1));
            gusty::yield_now();
            drop(handle);
        });
        COUNT.store(0, Ordering::Relaxed);
        let parked: Vec<_> = (0..scaled(20_000))
            .map(|_| {
                gusty::spawn(|| {
                    one_more();
                    gusty::park();
                })
            })
            .collect();
        reaches(&COUNT, parked.len());
        assert!(runtime::dump().len() > parked.len());
        parked.iter().for_each(|handle| handle.thread().unpark());
        parked.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn panics_and_thread_locals() {
    std::thread_local! {
        static LOCAL: std::cell::RefCell<Vec<usize>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    struct Yields;
    impl Drop for Yields {
        fn drop(&mut self) {
            gusty::yield_now();
        }
    }
    clean("panics_and_thread_locals", || {
        std::panic::set_hook(Box::new(|info| drop(black_box(info.to_string()))));
        many(scaled(1_000), |i| {
            let handle = gusty::spawn(move || {
                LOCAL.with_borrow_mut(|local| local.resize(i % 100, i));
                let _yields = Yields;
                if i % 2 == 0 {
                    panic!("on purpose {i}");
                }
                gusty::yield_now();
                LOCAL.with_borrow_mut(|local| local.push(i));
                let _ = std::thread::current().id();
            });
            match i % 3 {
                0 => drop(handle),
                _ => assert_eq!(handle.join().is_err(), i % 2 == 0),
            }
        });
    });
}

/// Polls a handle once with a waker that allocates, then waits for that.
struct Woken(mpsc::Sender<()>);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        drop(black_box(vec![0; 10]));
        self.0.send(()).unwrap();
    }
}

#[test]
fn handles_as_futures() {
    clean("handles_as_futures", || {
        many(scaled(2_000), |i| {
            let mut handle = gusty::spawn(move || {
                gusty::yield_now();
                i
            });
            let (tx, rx) = mpsc::channel();
            let waker = Waker::from(Arc::new(Woken(tx)));
            let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
            drop(waker);
            match polled {
                Poll::Ready(value) => assert_eq!(value.unwrap(), i),
                Poll::Pending if i % 5 == 0 => drop(handle),
                Poll::Pending => {
                    until(|| rx.try_recv().is_ok());
                    assert_eq!(handle.join().unwrap(), i);
                }
            }
        });
        many(scaled(500), |_| {
            let handle = gusty::spawn(|| gusty::sleep(Duration::from_micros(300)));
            let handle = handle.join_timeout(Duration::from_micros(100));
            drop(handle.map_err(|handle| handle.join()));
        });
    });
}

#[test]
fn scopes_and_groups() {
    clean("scopes_and_groups", || {
        many(scaled(300), |i| {
            let mut values = vec![i; 20];
            gusty::scope(|s| {
                for value in &mut values {
                    s.spawn(move || *value += 1);
                }
            });
            let group: sync::ErrGroup<String> = sync::ErrGroup::new();
            group.set_limit(3);
            for k in 0..10 {
                group.go(move || if k == 5 { Err(format!("{k}")) } else { Ok(()) });
            }
            assert!(group.wait().is_err());
        });
    });
}

#[test]
fn channels() {
    clean("channels", || {
        for capacity in [Some(0), Some(1), Some(100), None] {
            let (tx, rx) = match capacity {
                Some(n) => chan::bounded(n),
                None => chan::unbounded(),
            };
            for _ in 0..4 {
                let tx = tx.clone();
                gusty::spawn(move || (0..scaled(5_000)).for_each(|i| tx.send(vec![i]).unwrap()));
            }
            drop(tx);
            let from_thread = {
                let rx = rx.clone();
                std::thread::spawn(move || rx.iter().count())
            };
            let counted = on_goroutine(move || rx.iter().count());
            assert_eq!(counted + from_thread.join().unwrap(), 4 * scaled(5_000));
        }
        let (tx, rx) = chan::unbounded();
        (0..100_000).for_each(|i| tx.send(Box::new(i)).unwrap());
        drop(rx);
        drop(tx);
        let (tx, rx) = chan::bounded::<Box<i32>>(1);
        let waiting = gusty::spawn(move || tx.send_timeout(Box::new(1), Duration::from_millis(1)));
        drop(rx);
        drop(waiting.join());
    });
}

#[test]
fn selects() {
    clean("selects", || {
        let (tx, rx) = chan::unbounded();
        let (stop, stopped) = chan::bounded::<()>(0);
        for _ in 0..8 {
            let (tx, stopped) = (tx.clone(), stopped.clone());
            gusty::spawn(move || {
                let (own_tx, own_rx) = chan::bounded(1);
                for i in 0..scaled(2_000) {
                    gusty::select! {
                        send(own_tx, vec![i]) -> _ => {},
                        recv(own_rx) -> got => drop(got),
                        recv(stopped) -> _ => break,
                        default(Duration::from_micros(10)) => {},
                    }
                    let _ = tx.send(i);
                }
            });
        }
        drop(tx);
        let mut seen = 0;
        loop {
            gusty::select! {
                recv(rx) -> got => match got { Ok(_) => seen += 1, Err(_) => break },
                recv(chan::after(Duration::from_secs(60))) -> _ => panic!("late"),
            }
        }
        assert_eq!(seen, 8 * scaled(2_000));
        drop(stop);
        on_goroutine(|| {
            let many: Vec<_> = (0..40).map(|_| chan::bounded::<Vec<u8>>(0)).collect();
            for i in 0..40 {
                let tx = many[i].0.clone();
                gusty::spawn(move || tx.send(vec![1; i + 1]).unwrap());
                let mut select = chan::Select::new();
                many.iter().for_each(|(_, rx)| _ = select.recv(rx));
                assert_eq!(select.ready(), i);
                let operation = select.select();
                let index = operation.index();
                assert_eq!(operation.recv(&many[index].1).unwrap().len(), i + 1);
            }
        });
    });
}

#[test]
fn locks_and_other_waits() {
    clean("locks_and_other_waits", || {
        let mutex = Arc::new(sync::Mutex::new(Vec::new()));
        let rwlock = Arc::new(sync::RwLock::new(Vec::new()));
        let pair = Arc::new((sync::Mutex::new(0), sync::Condvar::new()));
        let (semaphore, notify) =
            (Arc::new(sync::Semaphore::new(2)), Arc::new(sync::Notify::new()));
        let barrier = Arc::new(sync::Barrier::new(50));
        let pool = Arc::new(sync::Pool::new(|| vec![0u8; 100]));
        let once = Arc::new(sync::OnceLock::new());
        let (other, held) = (pair.clone(), mutex.clone());
        many(50, move |i| {
            for k in 0..scaled(300) {
                mutex.lock().unwrap().push(k);
                if k % 10 == 0 {
                    rwlock.write().unwrap().push(k);
                    gusty::yield_now();
                }
                drop(rwlock.read().unwrap());
                let permit = semaphore.acquire();
                gusty::yield_now();
                drop(permit);
                let object = pool.get();
                gusty::yield_now();
                pool.put(object);
                notify.notify_one();
                once.get_or_init(|| {
                    gusty::yield_now();
                    vec![k]
                });
            }
            barrier.wait();
            *pair.0.lock().unwrap() += 1;
            pair.1.notify_all();
            let guard = pair.0.lock().unwrap();
            drop(pair.1.wait_while(guard, |arrived| *arrived < 50).unwrap());
            let guard = mutex.lock().unwrap();
            let _ = pair.1.wait_timeout(pair.0.lock().unwrap(), Duration::from_micros(i as u64));
            drop(guard);
        });
        assert_eq!(*other.0.lock().unwrap(), 50);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let held = held.clone();
                std::thread::spawn(move || (0..1_000).for_each(|i| held.lock().unwrap().push(i)))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_hundred_thousand_timers() {
    clean("a_hundred_thousand_timers", || {
        let count = scaled(100_000);
        COUNT.store(0, Ordering::Relaxed);
        let sleepers: Vec<_> = (0..count)
            .map(|i| {
                gusty::spawn(move || {
                    gusty::sleep(Duration::from_micros(100_000 + (i as u64 * 7919) % 100_000));
                    one_more();
                })
            })
            .collect();
        let funcs: Vec<_> = (0..count)
            .map(|_| gusty::time::after_func(Duration::from_secs(3600), one_more))
            .collect();
        let soon: Vec<_> = (0..1_000)
            .map(|i| gusty::time::after_func(Duration::from_micros(i), one_more))
            .collect();
        sleepers.into_iter().for_each(|handle| handle.join().unwrap());
        reaches(&COUNT, count + soon.len());
        funcs.iter().step_by(2).for_each(|func| assert!(func.stop()));
        drop(funcs);
        many(200, |i| {
            let ticker = gusty::time::Ticker::new(Duration::from_micros(50 + i as u64));
            (0..10).for_each(|_| _ = ticker.chan().recv());
            let timer = gusty::time::Timer::new(Duration::from_micros(10));
            _ = timer.chan().recv();
            timer.reset(Duration::from_secs(1));
        });
    });
}

#[test]
fn contexts() {
    clean("contexts", || {
        many(scaled(500), |i| {
            let (ctx, cancel) = context::with_cancel(&context::background());
            let (timed, _keep) = context::with_timeout(&ctx, Duration::from_micros(i as u64 * 10));
            let children: Vec<_> = (0..50).map(|_| context::with_cancel(&timed)).collect();
            let waits = children[7].0.clone();
            let waiter = gusty::spawn(move || _ = waits.done().recv());
            let func = context::after_func(&timed, one_more);
            let (_tx, rx) = chan::bounded::<()>(0);
            assert!(rx.recv_ctx(&timed).is_err());
            cancel.cancel_with("enough");
            waiter.join().unwrap();
            func.stop();
        });
    });
}

#[test]
fn sockets() {
    clean("sockets", || {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let clients = 150;
        let server = gusty::spawn(move || {
            let all: Vec<_> = (0..clients)
                .map(|_| {
                    let (mut stream, _) = listener.accept().unwrap();
                    gusty::spawn(move || {
                        let mut bytes = [0; 8];
                        while stream.read(&mut bytes).is_ok_and(|n| n != 0) {
                            stream.write_all(&bytes).unwrap();
                        }
                    })
                })
                .collect();
            all.into_iter().for_each(|handle| handle.join().unwrap());
        });
        let barrier = Arc::new(sync::Barrier::new(clients));
        many(clients, move |i| {
            let mut stream = net::TcpStream::connect(at).unwrap();
            barrier.wait();
            stream.set_read_timeout(Some(Duration::from_micros(1))).unwrap();
            assert!(stream.read(&mut [0; 8]).is_err());
            stream.set_read_timeout(None).unwrap();
            for _ in 0..20 {
                stream.write_all(&[i as u8; 8]).unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
            }
        });
        server.join().unwrap();
    });
}

#[test]
fn blocking_calls_and_threads() {
    clean("blocking_calls_and_threads", || {
        for _ in 0..3 {
            many(60, |i| {
                if i % 3 == 0 {
                    gusty::lock_os_thread();
                }
                gusty::blocking(|| std::thread::sleep(Duration::from_millis(3)));
                gusty::yield_now();
                gusty::sleep(Duration::from_micros(100));
                if i % 6 == 0 {
                    gusty::unlock_os_thread();
                }
            });
            // Threads that idle end.
            let floor = runtime::gomaxprocs(0) + 2;
            until(|| {
                gusty::sleep(Duration::from_millis(1));
                runtime::num_threads() <= floor
            });
        }
        many(50, |_| {
            let pinned = gusty::Builder::new().pinned().spawn(|| {
                (0..50).for_each(|_| gusty::yield_now());
                gusty::sleep(Duration::from_micros(50));
            });
            drop(pinned.unwrap().join());
        });
    });
}

#[test]
fn gomaxprocs_up_and_down() {
    clean("gomaxprocs_up_and_down", || {
        let busy: Vec<_> = (0..16)
            .map(|_| {
                gusty::spawn(|| {
                    let end = Instant::now() + Duration::from_millis(300);
                    while Instant::now() < end {
                        let handle = gusty::spawn(|| gusty::sleep(Duration::from_micros(50)));
                        gusty::yield_now();
                        handle.join().unwrap();
                    }
                })
            })
            .collect();
        for procs in [1, 2, 4, 40, 3, 64, 1, 300, 2] {
            runtime::gomaxprocs(procs);
            drop(runtime::dump());
            let _ = (runtime::metrics(), runtime::num_goroutine(), runtime::num_threads());
            gusty::sleep(Duration::from_millis(10));
        }
        busy.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// The watchdog asks, takes Ps, looks for deadlocks and trims stacks.
#[test]
fn the_watchdog() {
    clean("the_watchdog", || {
        many(scaled(3_000), |_| gusty::sleep(Duration::from_millis(20)));
        let busy: Vec<_> = (0..4)
            .map(|i| {
                gusty::spawn(move || {
                    let end = Instant::now() + Duration::from_millis(200);
                    let mut kept = Vec::new();
                    while Instant::now() < end {
                        kept.push(black_box(vec![i; 10]));
                        kept.truncate(100);
                    }
                })
            })
            .collect();
        busy.into_iter().for_each(|handle| handle.join().unwrap());
        std::thread::sleep(Duration::from_millis(1_500)); // idle long enough for a trim and looks
        on_goroutine(|| ());
    });
}
