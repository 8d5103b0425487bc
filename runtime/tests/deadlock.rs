//! Job: deadlocks are reported, and nothing else is.
//! Not here: what counts as one (`sched::deadlock`).
//!
//! Without the test harness, whose threads the runtime knows nothing of: it would never be sure.
//! Each scenario runs in a process of its own.

use std::io::Read;
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gusty::sync::{Mutex, WaitGroup};
use gusty::{chan, go, spawn};

struct Scenario {
    name: &'static str,
    run: fn(),
    /// What the report says; for those that are no deadlocks, nothing.
    says: &'static [&'static str],
}

const REPORT: &str = "fatal error: all goroutines are asleep - deadlock!";

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a_cycle_of_channels",
        run: || {
            let (a, b) = chan::bounded::<u8>(0);
            let (c, d) = chan::bounded::<u8>(0);
            let builder = gusty::Builder::new().name("partner");
            let partner = builder.spawn(move || {
                let _keep = &a;
                d.recv().unwrap();
                a.send(1).unwrap();
            });
            b.recv().unwrap();
            c.send(1).unwrap();
            partner.unwrap().join().unwrap();
        },
        says: &["[chan receive]", "\"partner\"", "tests/deadlock.rs", "[join]"],
    },
    Scenario {
        name: "a_mutex_locked_twice",
        run: || {
            let mutex = Mutex::new(());
            let _held = mutex.lock().unwrap();
            let _again = mutex.lock().unwrap();
        },
        says: &["[sync.Mutex.lock]"],
    },
    Scenario {
        name: "a_wait_group_never_done",
        run: || {
            let group = WaitGroup::new();
            group.add(1);
            group.wait();
        },
        says: &["[sync.WaitGroup.wait]"],
    },
    Scenario { name: "a_park_without_unpark", run: gusty::park, says: &["[park]"] },
    // Without any arms `select!` is refused; this is what is left of one.
    Scenario {
        name: "a_select_of_nothing_that_can_happen",
        run: || {
            let never = chan::never::<u8>();
            gusty::select! {
                recv(never) -> _ => unreachable!(),
                recv(chan::never::<u16>()) -> _ => unreachable!(),
            }
        },
        says: &["[select]", "tests/deadlock.rs"],
    },
    Scenario {
        name: "main_waits_for_one_that_waits_for_it",
        run: || {
            let (tx, rx) = chan::bounded::<u8>(0);
            let worker = gusty::Builder::new().name("worker").spawn(move || rx.recv());
            let worker = worker.unwrap().join();
            drop(tx);
            assert!(worker.unwrap().is_err());
        },
        says: &["[join]", "\"worker\" [chan receive]", "tests/deadlock.rs"],
    },
    Scenario {
        name: "many_wait_after_they_were_stopped_and_blocked",
        run: || {
            let begun = Arc::new(AtomicUsize::new(0));
            let (_tx, rx) = chan::bounded::<()>(0);
            for i in 0..20 {
                let (begun, rx) = (begun.clone(), rx.clone());
                go!(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    if i % 2 == 0 {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    while begun.load(Ordering::Relaxed) < 20 {
                        std::hint::spin_loop();
                    }
                    rx.recv()
                });
            }
            gusty::park();
        },
        says: &["[park]", "[chan receive]"],
    },
    Scenario {
        name: "after_timers_and_sockets_are_gone",
        run: || {
            let listener = gusty::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            let server = spawn(move || listener.accept().map(|_| ()));
            let _stream = gusty::net::TcpStream::connect(addr).unwrap();
            server.join().unwrap().unwrap();
            gusty::sleep(Duration::from_millis(5));
            gusty::park();
        },
        says: &["[park]"],
    },
    Scenario {
        name: "a_timer_is_no_deadlock",
        run: || gusty::sleep(Duration::from_millis(300)),
        says: &[],
    },
    Scenario {
        name: "a_thread_may_still_send",
        run: || {
            let (tx, rx) = chan::bounded(0);
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                tx.send(1).unwrap();
            });
            assert_eq!(rx.recv(), Ok(1));
            thread.join().unwrap();
        },
        says: &[],
    },
    Scenario {
        name: "threads_that_wake_each_other",
        run: || {
            let (tx, rx) = chan::bounded(0);
            let (back, again) = chan::bounded(0);
            let threads = [
                std::thread::spawn(move || rx.iter().for_each(|n: u32| back.send(n).unwrap())),
                std::thread::spawn(move || {
                    for n in 0..20_000 {
                        tx.send(n).unwrap();
                        assert_eq!(again.recv(), Ok(n));
                    }
                }),
            ];
            let (end, ended) = chan::bounded::<()>(0);
            let waits = spawn(move || ended.recv());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            drop(end);
            assert!(waits.join().unwrap().is_err());
        },
        says: &[],
    },
    Scenario {
        name: "a_socket_may_still_speak",
        run: || {
            let listener = gusty::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            let connect = format!("sleep 0.3; exec 3<>/dev/tcp/127.0.0.1/{}", addr.port());
            let mut other = Command::new("bash").args(["-c", &connect]).spawn().unwrap();
            listener.accept().map(|_| ()).unwrap();
            other.wait().unwrap();
        },
        says: &[],
    },
    Scenario {
        name: "a_blocked_call_may_return",
        run: || {
            let (tx, rx) = chan::bounded(0);
            go!(move || {
                std::thread::sleep(Duration::from_millis(300));
                tx.send(1).unwrap();
            });
            assert_eq!(rx.recv(), Ok(1));
        },
        says: &[],
    },
    Scenario {
        name: "an_announced_call_may_return",
        run: || {
            let (tx, rx) = chan::bounded(0);
            go!(move || {
                gusty::blocking(|| std::thread::sleep(Duration::from_millis(300)));
                tx.send(1).unwrap();
            });
            assert_eq!(rx.recv(), Ok(1));
        },
        says: &[],
    },
    // Go counts who is in a system call as running, for how long it may be.
    Scenario {
        name: "a_call_that_never_returns_is_no_deadlock",
        run: || {
            go!(|| gusty::blocking(std::thread::park));
            go!(std::thread::park);
            let (tx, rx) = chan::bounded::<()>(0);
            go!(move || {
                gusty::sleep(Duration::from_millis(300));
                std::process::exit(0);
            });
            let _ = rx.recv();
            drop(tx);
        },
        says: &[],
    },
    Scenario {
        name: "a_locked_goroutine_in_a_call",
        run: || {
            let (tx, rx) = chan::bounded(0);
            go!(move || {
                gusty::lock_os_thread();
                std::thread::sleep(Duration::from_millis(300));
                tx.send(1).unwrap();
            });
            assert_eq!(rx.recv(), Ok(1));
        },
        says: &[],
    },
    Scenario {
        name: "one_that_computes_for_long",
        run: || {
            let (tx, rx) = chan::bounded(0);
            go!(move || {
                let start = std::time::Instant::now();
                while start.elapsed() < Duration::from_millis(300) {}
                tx.send(1).unwrap();
            });
            assert_eq!(rx.recv(), Ok(1));
        },
        says: &[],
    },
    Scenario {
        name: "a_function_is_due",
        run: || {
            let (tx, rx) = chan::bounded(0);
            let send = move || tx.send(1).unwrap();
            let _timer = gusty::time::after_func(Duration::from_millis(300), send);
            assert_eq!(rx.recv(), Ok(1));
        },
        says: &[],
    },
    Scenario {
        name: "a_thread_with_a_deadline",
        run: || {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (_tx, rx) = chan::bounded::<()>(0);
                    assert!(rx.recv_timeout(Duration::from_millis(300)).is_err());
                });
            });
        },
        says: &[],
    },
];

/// Runs one scenario in the main goroutine of a process of its own; true if it went as it should.
fn check(scenario: &Scenario, procs: &str) -> bool {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .env("GUSTY_SCENARIO", scenario.name)
        .env("GOMAXPROCS", procs)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child process");
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
    let code = child.wait().expect("a child").code();
    let want = if scenario.says.is_empty() { 0 } else { 2 };
    let reported = stderr.contains(REPORT) == (want == 2);
    let good = code == Some(want) && reported && scenario.says.iter().all(|s| stderr.contains(s));
    if !good {
        eprintln!("{} with {procs} Ps: {code:?}\n{stderr}", scenario.name);
    }
    good
}

fn main() -> ExitCode {
    if let Ok(name) = std::env::var("GUSTY_SCENARIO") {
        // SAFETY: no preconditions. Ends what hangs.
        unsafe { libc::alarm(20) };
        let scenario = SCENARIOS.iter().find(|s| s.name == name).expect("a scenario");
        spawn(scenario.run).join().expect("a scenario that ends ends well");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for scenario in SCENARIOS {
        // At the same time, because some of them just wait.
        let good = std::thread::scope(|scope| {
            let start = |procs| scope.spawn(move || check(scenario, procs));
            ["1", "2", "8"].map(start).into_iter().all(|run| run.join().expect("no panic"))
        });
        println!("test {} ... {}", scenario.name, if good { "ok" } else { "FAILED" });
        failed += usize::from(!good);
    }
    let (passed, result) = (SCENARIOS.len() - failed, if failed == 0 { "ok" } else { "FAILED" });
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
