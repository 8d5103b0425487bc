//! Job: `Barrier` as std's tests know it.

use super::sync::mpsc::TryRecvError;
use super::sync::{Arc, Barrier, mpsc};
use super::{ROUNDS, run, thread};

#[test]
fn nobody_passes_before_the_last_comes_and_one_leads() {
    run(|| {
        const N: usize = 10;
        let barrier = Arc::new(Barrier::new(N));
        let (tx, rx) = mpsc::channel();
        for _ in 0..N - 1 {
            let (barrier, tx) = (barrier.clone(), tx.clone());
            thread::spawn(move || tx.send(barrier.wait().is_leader()).unwrap());
        }
        (0..100).for_each(|_| thread::yield_now());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        let mut leaders = usize::from(barrier.wait().is_leader());
        for _ in 0..N - 1 {
            leaders += usize::from(rx.recv().unwrap());
        }
        assert_eq!(leaders, 1);
    });
}

#[test]
fn it_can_be_used_again_at_once() {
    run(|| {
        let barrier = Arc::new(Barrier::new(4));
        let runners: Vec<_> = (0..4)
            .map(|_| {
                let barrier = barrier.clone();
                thread::spawn(move || (0..ROUNDS).filter(|_| barrier.wait().is_leader()).count())
            })
            .collect();
        let leaders: usize = runners.into_iter().map(|runner| runner.join().unwrap()).sum();
        assert_eq!(leaders, ROUNDS);
    });
}

#[test]
fn small_ones_let_everybody_pass() {
    run(|| {
        static ONE: Barrier = Barrier::new(1);
        assert!(ONE.wait().is_leader() && ONE.wait().is_leader());
        assert!(Barrier::new(0).wait().is_leader());
        assert_eq!(
            format!("{ONE:?} {:?}", ONE.wait()),
            "Barrier { .. } BarrierWaitResult { is_leader: true }"
        );
    });
}
