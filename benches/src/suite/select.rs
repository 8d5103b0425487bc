//! One receiver that takes whatever comes first.
//!
//! `select/2` and `select/8`: so many senders, each with an unbuffered channel of its own, and one
//! that receives from all of them by `select!`. Each value is a choice; the losing arms are withdrawn
//! each time. Threads use both CPUs, whatever GOMAXPROCS says.

use gusty_benches::harness::{Bench, Contender, Metric, Scale, per_op};

use super::on_goroutine;

const CHOICE: &[Metric] = &[Metric::nanos("a value").within(0.5, "Go")];

pub(super) fn benches() -> Vec<Bench> {
    let bench = |name, contenders| Bench {
        name,
        procs: &[1, 2],
        metrics: CHOICE,
        fresh: false,
        contenders,
    };
    vec![bench("select/2", of_two), bench("select/8", of_eight)]
}

/// A channel for each index; a sender that counts to `$share` for each channel, started by `$spawn`;
/// `MANY * $share` times a `select!` of the library over all of them. The time for each value.
macro_rules! race {
    ($lib:ident $(:: $module:ident)*, $select:path, $spawn:path, $share:expr, $($i:literal)+) => {{
        const MANY: usize = [$($i),+].len();
        let share: usize = $share;
        let (senders, rx): (Vec<_>, Vec<_>) =
            (0..MANY).map(|_| $lib$(::$module)*::bounded::<usize>(0)).unzip();
        // The originals stay: a sender that is through must not end its channel.
        for tx in senders.clone() {
            drop($spawn(move || (0..share).for_each(|i| tx.send(i).expect("a receiver"))));
        }
        per_op(MANY * share, || {
            let mut sum = 0;
            for _ in 0..MANY * share {
                use $select as choose;
                sum += choose! { $(recv(rx[$i]) -> value => value,)+ }.expect("a sender");
            }
            assert_eq!(sum, MANY * (share * (share - 1) / 2));
        })
    }};
}

fn of_two(scale: Scale) -> Vec<Contender> {
    let (share, threads) = (scale.pick(500, 500_000), scale.pick(50, 10_000));
    vec![
        Contender::new("gusty", move || {
            on_goroutine(move || race!(gusty::chan, gusty::select, gusty::spawn, share, 0 1))
        }),
        Contender::new(
            "crossbeam on threads",
            move || race!(crossbeam_channel, crossbeam_channel::select, std::thread::spawn, threads, 0 1),
        ),
        Contender::new("flume on threads", move || flume_race(2, threads)),
    ]
}

fn of_eight(scale: Scale) -> Vec<Contender> {
    let (share, threads) = (scale.pick(100, 100_000), scale.pick(20, 2_000));
    vec![
        Contender::new("gusty", move || {
            on_goroutine(
                move || race!(gusty::chan, gusty::select, gusty::spawn, share, 0 1 2 3 4 5 6 7),
            )
        }),
        Contender::new("crossbeam on threads", move || {
            race!(
                crossbeam_channel,
                crossbeam_channel::select,
                std::thread::spawn,
                threads,
                0 1 2 3 4 5 6 7
            )
        }),
        Contender::new("flume on threads", move || flume_race(8, threads)),
    ]
}

/// The same with flume's `Selector`.
fn flume_race(many: usize, share: usize) -> f64 {
    let (senders, rx): (Vec<_>, Vec<_>) = (0..many).map(|_| flume::bounded::<usize>(0)).unzip();
    for tx in senders.clone() {
        std::thread::spawn(move || {
            (0..share).for_each(|i| tx.send(i).expect("a receiver"));
        });
    }
    per_op(many * share, || {
        let mut sum = 0;
        for _ in 0..many * share {
            let all = rx.iter().fold(flume::Selector::new(), |all, one| all.recv(one, |v| v));
            sum += all.wait().expect("a sender");
        }
        assert_eq!(sum, many * (share * (share - 1) / 2));
    })
}
