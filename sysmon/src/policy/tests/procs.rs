//! Job: tests of what is done about Ps that stand still.

use std::cell::Cell;

use super::super::{Action, Config, History, Probe, Proc, Rest, Snapshot, Why, decide};
use super::{MS, T, US};
use Action::{Ask, Recall, Retake};

const SLICE: u64 = 10 * MS;
/// The first P's goroutine has been there for a slice.
const OVER: Proc = Proc {
    tick: 1,
    running: true,
    retired: false,
    m: Some(7),
    turn: 1,
    stands_ns: SLICE,
    lent_ns: None,
    call: 0,
    awaited: false,
    timed: false,
};
const YOUNG: Proc = Proc { stands_ns: MS, ..OVER };

/// A watchdog over one P, and the thread that has it.
struct Watch {
    config: Config,
    history: History,
    at: u64,
    cpu: Cell<Option<u64>>,
    asleep: bool,
    probed: Cell<u32>,
}

impl Probe for Watch {
    fn cpu_ns(&self, _: usize) -> Option<u64> {
        self.probed.set(self.probed.get() + 1);
        self.cpu.get()
    }

    fn is_asleep(&self, _: usize) -> bool {
        self.probed.set(self.probed.get() + 1);
        self.asleep
    }
}

impl Watch {
    fn new() -> Watch {
        let (config, history) = (Config::default(), History::new(T, 1));
        Watch {
            config,
            history,
            at: T,
            cpu: Cell::new(Some(5)),
            asleep: false,
            probed: Cell::new(0),
        }
    }

    /// A round `after` the last one, in which goroutines are queued, or not.
    fn look(&mut self, after: u64, queued: bool, proc: Proc) -> (Vec<Action>, u64) {
        self.at += after;
        let mut now =
            Snapshot { at_ns: self.at, queued, in_poller: true, ..Snapshot::with_capacity(1) };
        now.push(proc);
        now.push(Proc { retired: true, ..Proc::default() });
        let mut actions = Vec::new();
        let mut history = std::mem::replace(&mut self.history, History::new(T, 0));
        let rest =
            decide(&self.config, &mut history, &now, &now, self, |action| actions.push(action));
        self.history = history;
        match rest {
            Rest::Nap(nap) => (actions, nap),
            Rest::Deep { .. } => panic!("a P runs"),
        }
    }
}

fn running(why: Why) -> Vec<Action> {
    vec![Retake { proc: 0, why }]
}

#[test]
fn while_nobody_waits_nothing_is_read_and_nobody_is_disturbed() {
    let mut watch = Watch::new();
    watch.asleep = true;
    for _ in 0..5 {
        let busy = Proc { call: 9, lent_ns: Some(SLICE), ..OVER };
        assert_eq!(watch.look(SLICE, false, OVER).0, []);
        assert_eq!(watch.look(SLICE, false, busy).0, []);
        let idle = Proc { running: false, m: None, ..OVER };
        assert_eq!(watch.look(SLICE, true, idle).0, [], "a P is idle");
    }
    assert_eq!(watch.probed.get(), 0);
    let awaited = Proc { awaited: true, ..OVER };
    assert_eq!(watch.look(SLICE, false, awaited).0, [Ask { proc: 0 }], "its own wait");
}

#[test]
fn a_used_up_slice_is_ended_step_by_step() {
    let mut watch = Watch::new();
    let after = watch.config.retake_after_ns;
    let rows: [(u64, Proc, Vec<Action>); 7] = [
        (0, YOUNG, vec![]),
        (9 * MS, OVER, vec![Ask { proc: 0 }]),
        (after - 1, OVER, vec![]),
        (1, OVER, running(Why::Running)),
        (after - 1, OVER, vec![]),
        (1, OVER, running(Why::Running)),
        (MS, Proc { turn: 2, stands_ns: 0, ..OVER }, vec![]),
    ];
    for (i, (later, proc, expected)) in rows.into_iter().enumerate() {
        watch.cpu.set(watch.cpu.get().map(|cpu| cpu + later)); // it computes
        assert_eq!(watch.look(later, true, proc).0, expected, "{i}");
    }
    let mut at_once = Watch::new();
    at_once.config.retake_after_ns = 0;
    assert_eq!(at_once.look(0, true, OVER).0, running(Why::Running));
    let mut endless = Watch::new();
    endless.config.slice_ns = None;
    assert_eq!(endless.look(0, true, Proc { stands_ns: u64::MAX, ..OVER }).0, []);
}

#[test]
fn a_slice_that_ends_by_itself_is_given_a_quarter_more() {
    let mut watch = Watch::new();
    let timed = |stands_ns| Proc { stands_ns, timed: true, ..OVER };
    for _ in 0..100 {
        watch.look(MS, true, timed(0)); // the rests have grown
    }
    assert_eq!(watch.look(0, true, timed(SLICE)).0, []);
    let next = Proc { turn: 2, ..timed(0) };
    assert_eq!(watch.look(MS, true, next), (vec![], 5 * MS), "seen to compute");
    watch.cpu.set(Some(6));
    assert_eq!(watch.look(MS, true, timed(SLICE + MS)), (vec![], 5 * MS));
    assert_eq!(watch.look(MS, true, timed(SLICE + SLICE / 4)).0, [Ask { proc: 0 }]);
}

#[test]
fn one_that_was_asked_and_has_no_processor_is_given_time() {
    let mut watch = Watch::new();
    let (after, times) = (watch.config.retake_after_ns, 10);
    assert_eq!(watch.look(0, true, OVER).0, [Ask { proc: 0 }]);
    for _ in 1..times {
        assert_eq!(watch.look(after, true, OVER).0, []);
    }
    assert_eq!(watch.look(after, true, OVER).0, running(Why::Running));
    assert_eq!(watch.look(after, true, OVER).0, []);
    watch.cpu.set(watch.cpu.get().map(|cpu| cpu + after));
    assert_eq!(watch.look(MS, true, OVER).0, running(Why::Running));
    watch.cpu.set(None);
    assert_eq!(watch.look(after - 1, true, OVER).0, []);
    assert_eq!(watch.look(1, true, OVER).0, running(Why::Running), "nobody knows its clock");
}

#[test]
fn the_next_look_comes_when_the_slice_is_over() {
    let mut watch = Watch::new();
    for _ in 0..100 {
        watch.look(MS, true, YOUNG); // the rests have grown
    }
    let soon = Proc { stands_ns: SLICE - 1_300 * US, ..OVER };
    assert_eq!(watch.look(MS, true, soon).1, MS, "it waits for a processor");
    watch.cpu.set(Some(6));
    assert_eq!(watch.look(MS, true, soon).1, 1_300 * US);
    assert_eq!(watch.look(MS, true, Proc { stands_ns: SLICE - MS, ..OVER }).0, [Ask { proc: 0 }]);
    watch.cpu.set(Some(7));
    assert_eq!(watch.look(MS, true, YOUNG).1, 5 * MS, "for those who block");
    assert_eq!(watch.look(MS, false, YOUNG).1, 10 * MS);
}

#[test]
fn a_standing_clock_and_a_sleeping_thread_are_needed() {
    let mut watch = Watch::new();
    let mut look = |after, turn, clock, asleep| {
        watch.cpu.set(clock);
        watch.asleep = asleep;
        watch.look(after, true, Proc { turn, ..YOUNG }).0
    };
    assert_eq!(look(0, 1, Some(5), true), []);
    assert_eq!(look(50 * US, 1, Some(5), true), []);
    assert_eq!(look(50 * US, 1, Some(5), true), [], "it stands for 50 us");
    assert_eq!(look(50 * US, 1, Some(5), false), [], "it waits for a processor");
    assert_eq!(look(MS, 1, Some(5), true), running(Why::Blocked));
    assert_eq!(look(99 * US, 1, Some(6), true), [], "it has run");
    assert_eq!(look(50 * US, 1, Some(6), true), []);
    assert_eq!(look(400 * US, 2, Some(6), true), [], "another turn");
    assert_eq!(look(400 * US, 2, None, true), [], "nobody knows");
}

#[test]
fn an_announced_call_is_taken_at_the_second_look() {
    let mut watch = Watch::new();
    let calling = |call| Proc { call, ..OVER };
    assert_eq!(watch.look(0, true, calling(7)), (vec![], 20 * US));
    assert_eq!(watch.look(20 * US, true, calling(8)).0, [], "another call");
    assert_eq!(watch.look(20 * US, false, calling(8)).0, [], "nobody waits");
    assert_eq!(watch.look(20 * US, true, calling(8)).0, [], "since then");
    assert_eq!(watch.look(20 * US, true, calling(8)).0, running(Why::Call));
    assert_eq!(watch.probed.get(), 0);
}

#[test]
fn a_loan_that_takes_too_long_is_recalled_but_its_slice_is_not_ended() {
    let mut watch = Watch::new();
    let lent = |ns| Proc { lent_ns: Some(ns), ..OVER };
    let rows = [(0, vec![]), (100 * US, vec![]), (MS - 1, vec![]), (MS, vec![Recall { proc: 0 }])];
    for (i, (ns, expected)) in rows.into_iter().enumerate() {
        watch.cpu.set(Some(i as u64));
        assert_eq!(watch.look(100 * US, true, lent(ns)).0, expected, "{ns}");
    }
    watch.asleep = true;
    assert_eq!(watch.look(100 * US, true, lent(200 * US)).0, running(Why::Blocked));
}
