//! Job: tests of the parent module.

mod procs;

use super::{Action, Config, History, Probe, Proc, Rest, Snapshot, decide};
use Action::{ManPoller, PollNetwork, RunTimers, TrimStacks};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SEC: u64 = 1_000_000_000;
/// The moment of most rounds: late enough for every period to have passed once.
const T: u64 = 100 * SEC;

fn snapshot(at_ns: u64, running: &[bool]) -> Snapshot {
    let mut snapshot = Snapshot::with_capacity(running.len());
    for &running in running {
        snapshot.push(Proc { running, ..Proc::default() });
    }
    Snapshot { at_ns, last_poll_ns: at_ns, ..snapshot }
}

fn busy(at_ns: u64) -> Snapshot {
    snapshot(at_ns, &[true, true])
}

fn idle(at_ns: u64) -> Snapshot {
    snapshot(at_ns, &[false, false])
}

/// One of the Ps has been with the same goroutine for a while.
fn hogged(at_ns: u64) -> Snapshot {
    let mut snapshot = busy(at_ns);
    snapshot.procs[1].stands_ns = 50 * US;
    snapshot
}

/// One of the Ps is on loan.
fn lent(at_ns: u64) -> Snapshot {
    let mut snapshot = busy(at_ns);
    snapshot.procs[1].lent_ns = Some(0);
    snapshot
}

/// A history in which no trim is due.
fn fresh(at_ns: u64) -> History {
    History::new(at_ns, 4)
}

/// A probe that must not be asked.
struct Never;

impl Probe for Never {
    fn cpu_ns(&self, _: usize) -> Option<u64> {
        panic!("asked for a clock")
    }

    fn is_asleep(&self, _: usize) -> bool {
        panic!("asked for a state")
    }
}

/// What a round asks for, and what it returns.
struct Outcome {
    rest: Rest,
    history: History,
}

fn round(history: &History, previous: &Snapshot, now: &Snapshot) -> (Vec<Action>, Outcome) {
    let (mut actions, mut history) = (Vec::new(), history.clone());
    let act = |action| actions.push(action);
    let rest = decide(&Config::default(), &mut history, previous, now, &Never, act);
    (actions, Outcome { rest, history })
}

/// One row of the table: a snapshot, what it asks for, and the nap after it in microseconds.
struct Row(&'static str, Snapshot, &'static [Action], u64);

#[test]
fn duties_and_naps() {
    let waiting = |snapshot: Snapshot| Snapshot { net_waiters: 1, ..snapshot };
    let polled = |ago, snapshot: Snapshot| Snapshot { last_poll_ns: T - ago, ..snapshot };
    let timer =
        |deadline, snapshot: Snapshot| Snapshot { next_timer_ns: Some(deadline), ..snapshot };
    let manned = |snapshot: Snapshot| Snapshot { in_poller: true, ..snapshot };
    let one_idle = || snapshot(T, &[true, false]);
    let rows = [
        Row("busy, nobody waits", polled(SEC, busy(T)), &[], 20),
        Row("busy, waiters, polled just now", waiting(polled(0, busy(T))), &[], 20),
        Row("busy, waiters, within the budget", waiting(polled(MS - 1, busy(T))), &[], 20),
        Row("busy, waiters, at the budget", waiting(polled(MS, busy(T))), &[PollNetwork], 20),
        Row("busy, waiters, never polled", waiting(polled(T, busy(T))), &[PollNetwork], 20),
        Row("busy, waiters, M in the poller", manned(waiting(polled(SEC, busy(T)))), &[], 20),
        Row("an idle P polls by itself", waiting(polled(SEC, one_idle())), &[], 20),
        Row("polled in the future", waiting(Snapshot { last_poll_ns: T + MS, ..busy(T) }), &[], 20),
        Row("no Ps at all", waiting(polled(SEC, snapshot(T, &[]))), &[], 20),
        Row("timer in the future", timer(T + SEC, busy(T)), &[], 20),
        Row("timer late, within the grace", timer(T - MS + 1, busy(T)), &[], 20),
        Row("timer late, at the grace", timer(T - MS, busy(T)), &[RunTimers], 20),
        Row("timer late, M in the poller", manned(timer(T - SEC, busy(T))), &[], 20),
        Row("timer late, a P is idle", timer(T - SEC, one_idle()), &[RunTimers], 20),
        Row("timer late, all idle, no M", timer(T - SEC, idle(T)), &[RunTimers], 20),
        Row("timer never", timer(u64::MAX, busy(T)), &[], 20),
        Row("hogged, waiters", waiting(hogged(T)), &[ManPoller], 20),
        Row("hogged, a timer", timer(T + SEC, hogged(T)), &[ManPoller], 20),
        Row("hogged, an urgent one", Snapshot { urgent: 1, ..hogged(T) }, &[ManPoller], 20),
        Row("hogged, waiters, M in the poller", manned(waiting(hogged(T))), &[], 20),
        Row(
            "hogged, an urgent one, M in the poller",
            manned(Snapshot { urgent: 1, ..hogged(T) }),
            &[],
            20,
        ),
        Row("hogged, nobody waits", hogged(T), &[], 20),
        Row("lent, waiters", waiting(lent(T)), &[ManPoller], 20),
        Row("not hogged for long, waiters", waiting(busy(T)), &[], 20),
        Row(
            "both at once",
            timer(T - SEC, waiting(polled(SEC, busy(T)))),
            &[PollNetwork, RunTimers],
            20,
        ),
    ];
    assert!(rows.len() >= 25);
    for Row(name, now, expected, nap_us) in rows {
        let (actions, verdict) = round(&fresh(T), &busy(T - 20 * US), &now);
        assert_eq!(actions, expected, "{name}");
        assert_eq!(verdict.rest, Rest::Nap(nap_us * US), "{name}");
    }
}

/// A history whose next fruitless nap is the longest.
fn tired() -> History {
    let mut history = fresh(T);
    for _ in 0..100 {
        history.backoff.next(false);
    }
    history
}

#[test]
fn a_nap_ends_when_a_duty_comes_due() {
    let previous = busy(T - 10 * MS);
    let nap = |now: Snapshot| match round(&tired(), &previous, &now) {
        (actions, Outcome { rest: Rest::Nap(ns), .. }) if actions.is_empty() => ns,
        (actions, _) => panic!("{actions:?}"),
    };
    assert_eq!(nap(busy(T)), 10 * MS);
    let timer = |deadline| Snapshot { next_timer_ns: Some(deadline), ..busy(T) };
    assert_eq!(nap(timer(T + 2 * MS)), 3 * MS, "the deadline and its grace");
    assert_eq!(nap(timer(T + SEC)), 10 * MS);
    assert_eq!(nap(timer(T - MS + 1)), 20 * US, "never shorter than the shortest");
    let waiting = |ago| Snapshot { net_waiters: 1, last_poll_ns: T - ago, ..busy(T) };
    assert_eq!(nap(waiting(400 * US)), 600 * US);
    assert_eq!(nap(Snapshot { in_poller: true, ..waiting(0) }), MS, "the M may leave meanwhile");
}

#[test]
fn an_action_over_unchanged_evidence_is_repeated_but_backs_off() {
    let stuck = |at_ns| Snapshot { next_timer_ns: Some(T - SEC), ..busy(at_ns) };
    let (actions, verdict) = round(&tired(), &stuck(T - MS), &stuck(T));
    assert_eq!((actions, verdict.rest), (vec![RunTimers], Rest::Nap(10 * MS)));
    let another = Snapshot { next_timer_ns: Some(T - 2 * SEC), ..busy(T - MS) };
    let (actions, verdict) = round(&tired(), &another, &stuck(T));
    assert_eq!((actions, verdict.rest), (vec![RunTimers], Rest::Nap(20 * US)));

    let deaf = |at_ns| Snapshot { net_waiters: 1, last_poll_ns: T - SEC, ..busy(at_ns) };
    let (actions, verdict) = round(&tired(), &deaf(T - MS), &deaf(T));
    assert_eq!((actions, verdict.rest), (vec![PollNetwork], Rest::Nap(MS)));
    let earlier = Snapshot { last_poll_ns: T - 2 * SEC, ..deaf(T - MS) };
    let (actions, verdict) = round(&tired(), &earlier, &deaf(T));
    assert_eq!((actions, verdict.rest), (vec![PollNetwork], Rest::Nap(20 * US)));
}

#[test]
fn a_whole_window_without_use_lets_warm_stacks_go() {
    // (fewest in the window, now, window's age) -> action; the low-water mark is 64.
    let rows: [(usize, usize, u64, Option<Action>); 7] = [
        (500, 500, 10 * SEC - 1, None),
        (500, 500, 10 * SEC, Some(TrimStacks { keep: 64 })),
        (200, 500, 10 * SEC, Some(TrimStacks { keep: 364 })), // 300 of them were used
        (65, 500, 10 * SEC, Some(TrimStacks { keep: 499 })),
        (64, 500, 10 * SEC, None),
        (0, 500, 10 * SEC, None),
        (64, 64, 60 * SEC, None),
    ];
    for (fewest_warm, warm_stacks, age, expected) in rows {
        let history = History { fewest_warm, ..fresh(T - age) };
        let now = Snapshot { warm_stacks, ..busy(T) };
        let (actions, verdict) = round(&history, &busy(T - MS), &now);
        assert_eq!(actions.first().copied(), expected, "{fewest_warm} of {warm_stacks}");
        let restarted = verdict.history.window_start_ns == T;
        assert_eq!(restarted, age >= 10 * SEC, "a new window begins where one ends");
    }
    let (_, verdict) = round(&fresh(T), &busy(T), &Snapshot { warm_stacks: 9, ..busy(T) });
    assert_eq!(verdict.history.fewest_warm, 9, "the window remembers its minimum");
}

fn idle_since(at_ns: u64) -> History {
    History { idle_since_ns: Some(at_ns), ..fresh(T) }
}

#[test]
fn the_deep_sleep_needs_a_millisecond_of_idleness() {
    let endless = Rest::Deep { at_most_ns: None };
    let rest = |history: &History, previous: Snapshot, now: Snapshot| {
        round(history, &previous, &now).1.rest
    };
    assert_eq!(rest(&idle_since(T - MS), idle(T - US), idle(T)), endless);
    assert_eq!(rest(&idle_since(T - MS + 1), idle(T - US), idle(T)), Rest::Nap(20 * US));
    assert_eq!(rest(&fresh(T), idle(T - US), idle(T)), Rest::Nap(20 * US), "idle just now");
    let history = idle_since(T - MS);
    assert_eq!(rest(&history, busy(T - US), idle(T)), Rest::Nap(20 * US), "it was busy");
    let mut ran_meanwhile = Snapshot::with_capacity(2);
    for tick in [0, 1] {
        ran_meanwhile.push(Proc { tick, ..Proc::default() });
    }
    ran_meanwhile.at_ns = T;
    assert_eq!(rest(&history, idle(T - US), ran_meanwhile), Rest::Nap(20 * US), "a tick moved");
}

#[test]
fn the_deep_sleep_needs_somebody_in_the_poller_for_those_who_wait() {
    let history = idle_since(T - SEC);
    let deep =
        |now: Snapshot| matches!(round(&history, &idle(T - US), &now).1.rest, Rest::Deep { .. });
    let timer = || Snapshot { next_timer_ns: Some(T + SEC), ..idle(T) };
    let waiters = || Snapshot { net_waiters: 3, ..idle(T) };
    assert!(!deep(timer()));
    assert!(!deep(waiters()));
    assert!(deep(Snapshot { in_poller: true, ..timer() }));
    assert!(deep(Snapshot { in_poller: true, ..waiters() }));
}

#[test]
fn an_idle_process_trims_once_and_then_sleeps_without_end() {
    let warm = |at_ns| Snapshot { warm_stacks: 100, ..idle(at_ns) };
    let (actions, verdict) = round(&idle_since(T - MS), &warm(T - US), &warm(T));
    assert_eq!(actions, []);
    assert_eq!(verdict.rest, Rest::Deep { at_most_ns: Some(SEC - MS) });

    // The time is over and nobody ran anything. The host may not have succeeded in full: once is
    // enough all the same.
    let later = T - MS + SEC;
    let (actions, verdict) = round(&verdict.history, &warm(T), &warm(later));
    assert_eq!(actions, [TrimStacks { keep: 64 }]);
    assert_eq!(verdict.rest, Rest::Deep { at_most_ns: None });
    let (actions, verdict) = round(&verdict.history, &warm(later), &warm(later + SEC));
    assert_eq!((actions, verdict.rest), (vec![], Rest::Deep { at_most_ns: None }));

    let (_, verdict) = round(&verdict.history, &warm(later), &busy(later + SEC));
    assert!(!verdict.history.trimmed_idle, "the next idle period may trim again");
}

#[test]
fn surplus_ps_are_counted_but_not_kept() {
    let mut snapshot = Snapshot::with_capacity(1);
    let room = snapshot.procs.capacity();
    for _ in 0..room + 3 {
        snapshot.push(Proc { tick: 1, ..Proc::default() });
    }
    assert!(snapshot.all_idle());
    snapshot.push(Proc { tick: 1, running: true, ..Proc::default() });
    assert!(!snapshot.all_idle() && !snapshot.all_busy());
    assert_eq!((snapshot.procs().len(), snapshot.procs.capacity()), (room, room));
    snapshot.clear();
    assert_eq!((snapshot.procs().len(), snapshot.procs.capacity()), (0, room));
    assert!(snapshot.all_idle());
}
