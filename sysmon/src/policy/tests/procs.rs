//! Job: what is done about single Ps, as tables of rounds.

use super::{Action, Config, History, MS, Proc, Rest, Snapshot, State, T, US, decide, proc};
use Action::{Kick, Retake, SetPreempt, WakePreempt};

/// A few Ps and what is remembered of them, from round to round.
struct Play {
    config: Config,
    history: History,
    previous: Snapshot,
    now: Snapshot,
    rest: Rest,
}

impl Play {
    /// Everything is quiet; the rests are as long as they get.
    fn new(config: Config) -> Play {
        let mut history = History::new(T, 4);
        (0..100).for_each(|_| _ = history.backoff.next(false));
        let quiet = Snapshot::with_capacity(4);
        Play { config, history, previous: quiet.clone(), now: quiet, rest: Rest::Nap(0) }
    }

    /// A round `after_ns` from [`T`] in which the scheduler looks like this.
    fn round(&mut self, after_ns: u64, procs: &[Proc], like: &Snapshot) -> Vec<Action> {
        std::mem::swap(&mut self.previous, &mut self.now);
        self.now = Snapshot { queued: like.queued, urgent: like.urgent, ..Snapshot::default() };
        let mut now = Snapshot::with_capacity(4);
        (now.at_ns, now.last_poll_ns) = (T + after_ns, T + after_ns);
        (now.queued, now.urgent) = (like.queued, like.urgent);
        procs.iter().for_each(|proc| now.push(*proc));
        self.now = now;
        let mut actions = Vec::new();
        self.rest =
            decide(&self.config, &mut self.history, &self.previous, &self.now, |a| actions.push(a));
        actions
    }

    /// As [`Self::round`], with actions as words.
    fn says(&mut self, after_ns: u64, procs: &[Proc], like: &Snapshot) -> String {
        let word = |action: &Action| match action {
            SetPreempt { proc, .. } => format!("flag {proc}"),
            Kick { proc, .. } => format!("kick {proc}"),
            WakePreempt { proc, .. } => format!("wake {proc}"),
            Retake { proc, why, .. } => format!("retake {proc} {why:?}"),
            other => format!("{other:?}"),
        };
        let words: Vec<String> = self.round(after_ns, procs, like).iter().map(word).collect();
        words.join(", ")
    }

    fn nap_us(&self) -> u64 {
        match self.rest {
            Rest::Nap(ns) => ns / US,
            Rest::Deep { .. } => panic!("a deep sleep"),
        }
    }
}

/// A P whose thread computes: its clock is the time.
fn hog(after_ns: u64, tick: u64) -> Proc {
    Proc { tick, cpu_ns: Some(T + after_ns), ..proc(true) }
}

fn one_queued() -> Snapshot {
    Snapshot { queued: 1, ..Snapshot::default() }
}

fn urgent(urgent: usize) -> Snapshot {
    Snapshot { urgent, ..Snapshot::default() }
}

#[test]
fn a_slice_ends_step_by_step() {
    let mut play = Play::new(Config::default());
    let like = one_queued();
    // (time in us, what is done, the rest after it in us)
    let rows = [
        (0, "", 2_000), // the clock is looked at
        (9_999, "", 20),
        (10_000, "flag 0", 500),
        (10_499, "", 20),
        (10_500, "kick 0", 500),
        (11_000, "kick 0", 1_000),
        (12_000, "kick 0, retake 0 Running", 2_000),
        (14_000, "kick 0, retake 0 Running", 2_000),
        (16_000, "", 2_000),
        (18_000, "kick 0, retake 0 Running", 2_000),
    ];
    for (at, expected, nap) in rows {
        assert_eq!(play.says(at * US, &[hog(at * US, 5)], &like), expected, "at {at} us");
        assert_eq!(play.nap_us(), nap, "after {at} us");
    }
    // The next goroutine begins anew.
    assert_eq!(play.says(19_000 * US, &[hog(19 * MS, 6)], &like), "");
    assert_eq!(play.says(28_999 * US, &[hog(28_999 * US, 6)], &like), "");
    let actions = play.round(29_000 * US, &[hog(29 * MS, 6)], &like);
    assert_eq!(actions, [SetPreempt { proc: 0, tick: 6 }]);
}

#[test]
fn nobody_is_disturbed_while_nobody_waits() {
    let mut play = Play::new(Config::default());
    let nobody = Snapshot::default();
    for ms in 0..100 {
        // One computes, one is blocked, and both have done so for long.
        let procs = [hog(ms * MS, 1), Proc { cpu_ns: Some(3), ..proc(true) }];
        assert_eq!(play.says(ms * MS, &procs, &nobody), "", "{ms} ms");
    }
    assert_eq!(play.nap_us(), 10_000);
    // Nor while an idle P can see to the one who waits.
    for ms in 100..200 {
        let procs = [hog(ms * MS, 1), proc(false)];
        let like = if ms % 2 == 0 { one_queued() } else { urgent(0) };
        assert_eq!(play.says(ms * MS, &procs, &like), "", "{ms} ms");
    }
    // Both have been seen all the time: the first who waits need not wait for another slice.
    let procs = [hog(200 * MS, 1), Proc { queued: 1, ..hog(200 * MS, 0) }];
    assert_eq!(play.says(200 * MS, &procs, &nobody), "flag 0");
    // And when nobody waits any more, what was begun is not gone on with.
    assert_eq!(play.says(201 * MS, &[hog(201 * MS, 1), hog(201 * MS, 0)], &nobody), "");
    assert_eq!(play.nap_us(), 10_000);
}

#[test]
fn slices_can_be_short_or_off() {
    let short = Config { slice_ns: Some(100 * US), kick_after_ns: 10 * US, ..Config::default() };
    let mut play = Play::new(short);
    let like = one_queued();
    assert_eq!(play.says(0, &[hog(0, 1)], &like), "");
    assert_eq!(play.nap_us(), 100);
    assert_eq!(play.says(100 * US, &[hog(100 * US, 1)], &like), "flag 0");
    assert_eq!(play.nap_us(), 20, "no rest is shorter");
    assert_eq!(play.says(120 * US, &[hog(120 * US, 1)], &like), "kick 0");
    let nobody = Snapshot::default();
    assert_eq!(play.says(200 * US, &[hog(200 * US, 2)], &nobody), "");
    assert_eq!(play.nap_us(), 1_000, "a new waiter is noticed within a millisecond");

    let mut play = Play::new(Config { slice_ns: None, ..Config::default() });
    for ms in 0..100 {
        assert_eq!(play.says(ms * MS, &[hog(ms * MS, 1)], &like), "");
    }
}

#[test]
fn urgent_goroutines_take_the_ps_of_those_who_ran_longest() {
    let mut play = Play::new(Config::default());
    let nobody = Snapshot::default();
    let at = |us: u64, ticks: [u64; 3]| ticks.map(|tick| hog(us * US, tick));
    assert_eq!(play.says(0, &at(0, [1, 1, 1]), &nobody), "");
    assert_eq!(play.says(300 * US, &at(300, [2, 1, 1]), &nobody), "");
    assert_eq!(play.says(600 * US, &at(600, [2, 1, 2]), &nobody), "");
    // P 1 has run for 999 us.
    assert_eq!(play.says(999 * US, &at(999, [2, 1, 2]), &urgent(1)), "");
    assert_eq!(play.nap_us(), 20);
    let actions = play.round(1_000 * US, &at(1_000, [2, 1, 2]), &urgent(1));
    assert_eq!(actions, [WakePreempt { proc: 1, tick: 1 }]);
    // One for each, and not twice at once.
    assert_eq!(play.says(1_100 * US, &at(1_100, [2, 1, 2]), &urgent(2)), "");
    assert_eq!(play.nap_us(), 200, "until P 0 is old enough");
    assert_eq!(play.says(1_300 * US, &at(1_300, [2, 1, 2]), &urgent(2)), "wake 0");
    assert_eq!(play.says(1_500 * US, &at(1_500, [2, 1, 2]), &urgent(2)), "kick 1");
    assert_eq!(play.says(3_000 * US, &at(3_000, [3, 2, 3]), &nobody), "");
    // An idle P takes it without that.
    let with_idle = [hog(9_000 * US, 3), hog(9_000 * US, 2), proc(false)];
    assert_eq!(play.says(9_000 * US, &with_idle, &urgent(1)), "");
}

#[test]
fn an_urgent_goroutine_hurries_a_kick_that_waits() {
    let mut play = Play::new(Config { granularity_ns: None, ..Config::default() });
    assert_eq!(play.says(0, &[hog(0, 1)], &one_queued()), "");
    assert_eq!(play.says(5 * MS, &[hog(5 * MS, 1)], &urgent(1)), "", "without a granularity");
    assert_eq!(play.says(10 * MS, &[hog(10 * MS, 1)], &one_queued()), "flag 0");
    assert_eq!(play.says(10_100 * US, &[hog(10_100 * US, 1)], &urgent(1)), "kick 0");
}

#[test]
fn a_thread_whose_clock_stands_still_loses_its_p() {
    let mut play = Play::new(Config::default());
    let like = one_queued();
    let stands = |queued| [Proc { tick: 4, queued, cpu_ns: Some(77), ..proc(true) }];
    assert_eq!(play.says(0, &stands(0), &like), "");
    assert_eq!(play.says(1_999 * US, &stands(0), &like), "");
    assert_eq!(play.nap_us(), 20);
    assert_eq!(play.says(2 * MS, &stands(1), &Snapshot::default()), "retake 0 Blocked");
    assert_eq!(play.says(3 * MS, &stands(0), &like), "", "the host may have refused");
    assert_eq!(play.says(4 * MS, &stands(0), &like), "retake 0 Blocked");
    // It computes again, or runs another goroutine.
    assert_eq!(play.says(5 * MS, &[hog(5 * MS, 4)], &like), "");
    assert_eq!(play.says(6 * MS, &stands(0), &like), "");
    let unread = [Proc { tick: 5, ..proc(true) }];
    assert_eq!(play.says(8 * MS, &unread, &like), "");
    assert_eq!(play.nap_us(), 2_000);
}

#[test]
fn calls_lose_their_p_at_once_if_it_is_needed_and_soon_otherwise() {
    let calling = |calls| [Proc { calls, state: State::Calling, ..Proc::default() }];
    let (needed, nobody) = (one_queued(), Snapshot::default());
    let mut play = Play::new(Config::default());
    assert_eq!(play.says(0, &calling(1), &needed), "");
    assert_eq!(play.nap_us(), 20);
    assert_eq!(play.says(20 * US, &calling(2), &needed), "", "another call");
    assert_eq!(play.says(40 * US, &calling(2), &needed), "retake 0 Call");
    assert_eq!(play.says(50 * US, &calling(3), &nobody), "");
    assert_eq!(play.nap_us(), 100);
    assert_eq!(play.says(149 * US, &calling(3), &nobody), "");
    assert_eq!(play.says(150 * US, &calling(3), &nobody), "retake 0 Call");
    assert_eq!(play.says(160 * US, &[proc(true)], &nobody), "");
    assert_eq!(play.says(400 * US, &calling(4), &nobody), "");
    assert_eq!(play.nap_us(), 100);
}

#[test]
fn clocks_are_read_only_where_they_matter() {
    let read = |procs: [Proc; 3], queued: usize| {
        let mut previous = Snapshot::with_capacity(4);
        [proc(true); 3].into_iter().for_each(|proc| previous.push(proc));
        let mut now = Snapshot::with_capacity(4);
        procs.into_iter().for_each(|proc| now.push(proc));
        now.queued = queued;
        now.read_clocks(&previous, |i| Some(i as u64));
        now.procs().iter().filter_map(|proc| proc.cpu_ns).collect::<Vec<_>>()
    };
    let other = Proc { tick: 1, ..proc(true) };
    let calling = Proc { state: State::Calling, ..Proc::default() };
    assert_eq!(read([proc(true); 3], 1), [0, 1, 2]);
    assert_eq!(read([proc(true), other, calling], 1), [0]);
    assert_eq!(read([proc(true); 3], 0), [], "nobody waits");
    assert_eq!(read([proc(true), proc(true), proc(false)], 1), [], "a P is idle");
}

#[test]
fn more_ps_than_there_is_room_for_are_let_alone() {
    let mut play = Play::new(Config::default());
    for ms in [0, 20] {
        let said = play.says(ms * MS, &[hog(ms * MS, 1); 9], &one_queued());
        assert_eq!(said.matches("flag").count(), if ms == 0 { 0 } else { 4 });
    }
}
